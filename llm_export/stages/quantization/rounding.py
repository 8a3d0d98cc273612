"""Round the weights of a recipe, with saved layers to resume a killed run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

import llm_export.quant
from llm_export.checkpoints.cache import cache_dir
from llm_export.config.quant_schema import ModuleKind, RoundingConfig
from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Prepared
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.base import Needs, Rounded
from llm_export.quant.rounding.resume import FinishedLayers
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec
from llm_export.stages.quantization.calibration import calibration_windows, rounding_calibrates
from llm_export.versions import package_versions


def rounded_weights(
    artifact: Prepared, recipe: Recipe, ctx: RunContext, outliers: Mapping[str, Tensor]
) -> tuple[dict[str, Rounded], FinishedLayers | None]:
    """Name -> quantized weight of every selected module, and the saved layers to delete once the
    weights are in the model.
    """
    model, settings = artifact.model, recipe.quant.rounding
    method = ROUNDERS.get(settings.method)
    windows, finished = [], None
    needy = method.needs is Needs.products
    if rounding_calibrates(recipe):
        windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
    if method.costly:
        config = {**asdict(recipe.model), "checkpoint": dict(artifact.source.checkpoint.config())}
        key = digest(model, artifact.choices, settings, config, outliers, windows)
        finished = FinishedLayers(cache_dir() / "rounding" / key)
    rounded = round_weights(
        model, artifact.choices, settings,
        outliers=outliers, windows=windows, finished=finished, progress=ctx.progress,
    )  # fmt: skip
    ctx.note(
        rounding={
            "methods": dict(Counter(one.how for one in rounded.values())),
            "tokens": sum(map(len, windows)),
            "without_inputs": _without_inputs(artifact.choices, rounded) if needy else [],
            "layers_resumed": len(finished.taken) if finished else 0,
            "not_resumable": finished.problem if finished else None,
        }
    )
    return rounded, finished


def _without_inputs(choices: Sequence[LayerQuantSpec], rounded: Mapping[str, Rounded]) -> list[str]:
    """Linears that gptq left to minmax, because no calibration token reached them."""
    return [
        c.name
        for c in choices
        if c.name in rounded
        and c.kind is not ModuleKind.embedding
        and rounded[c.name].how == "minmax"
    ]


def code() -> str:
    """Digest of the code that rounds."""
    found = hashlib.sha256()
    for file in sorted(Path(llm_export.quant.__path__[0]).rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


def digest(
    model: nn.Module,
    choices: Sequence[LayerQuantSpec],
    settings: RoundingConfig,
    config: Mapping[str, object],
    outliers: Mapping[str, Tensor],
    windows: Sequence[Sequence[int]],
) -> str:
    """Digest of everything that rounded weights depend on: all floats of the model, the code that
    rounds (packages and our own), and the quantization settings.
    """
    found = hashlib.sha256(code().encode())
    said = {
        "versions": package_versions(),
        "config": config,
        "rounding": asdict(settings),
        "choices": [c.as_dict() for c in choices],
        "windows": [list(w) for w in windows],
        "outliers": {name: columns.tolist() for name, columns in outliers.items()},
    }
    found.update(json.dumps(said, sort_keys=True, default=str).encode())
    for name, parameter in model.named_parameters():
        found.update(name.encode())
        found.update(parameter.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]
