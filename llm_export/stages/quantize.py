"""Float model -> the model as it will be exported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import Tensor, nn

from llm_export.config.checks import resolved_attention
from llm_export.config.schema import Recipe
from llm_export.models.components.lora import FACTORS
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Prepared, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.quant.inputs import input_ranges, outlier_channels
from llm_export.quant.rounding.base import Rounded
from llm_export.quant.rounding.resume import FinishedLayers
from llm_export.quant.rules import Choice
from llm_export.stages.calibration import calibration_windows
from llm_export.stages.rounding import rounded_weights
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.quantize import by_grids


def quantize(artifact: Prepared, recipe: Recipe, ctx: RunContext) -> Transformed:
    """Round weights to what their schemes can hold, and exchange attention.

    Raises:
        PostConditionError: a transform did not do what it promises.
    """
    model, choices = artifact.model, artifact.choices
    done = list(artifact.transforms)
    changed: dict[str, int] = {}

    def run(step: Transform) -> None:
        changed[step.name] = run_transform(step, model)
        done.append(step)

    predicted = predict_bytes(model, choices)
    finished: FinishedLayers | None = None
    if any(c.scheme != "none" for c in choices):
        outliers = _outliers(artifact, recipe)
        rounded, finished = rounded_weights(artifact, recipe, ctx, outliers)
        choices = tuple(_with_outcome(c, rounded.get(c.name)) for c in choices)
        run(by_grids(choices, {name: one.grid for name, one in rounded.items()}, outliers))
    kind = resolved_attention(recipe)
    if kind != "plain":
        run(exchange(kind, **_cache_limits(kind, recipe)))
    model.init_buffers()  # calibration has filled the cache
    tied = model.facts.tied_embeddings
    ctx.note(
        transforms=changed,
        quantization=[c.as_dict() for c in choices],
        predicted_bytes=predicted,
        tied_embedding=_tied_remark(model, choices) if tied else None,
        remark=_remark(choices),
    )
    if finished is not None:
        finished.discard()
    return Transformed(model, artifact.source, tuple(done), choices, predicted)


def _outliers(artifact: Prepared, recipe: Recipe) -> dict[str, Tensor]:
    counts = {c.name: c.outliers for c in artifact.choices if c.outliers}
    if not counts:
        return {}
    windows = calibration_windows(recipe.quant.calibration, artifact.source, artifact.model)
    return outlier_channels(input_ranges(artifact.model, counts, windows), counts)


def _with_outcome(choice: Choice, rounded: Rounded | None) -> Choice:
    if rounded is None:
        return choice
    return replace(choice, rounding=rounded.how, sqnr_db=rounded.sqnr_db)


def _cache_limits(kind: str, recipe: Recipe) -> dict[str, int]:
    """What the layout of this kind of cache depends on."""
    if kind == "ring":
        return {"step_length": recipe.runtime.prefill_length}
    if kind == "endless":
        return {"sink_tokens": recipe.runtime.sink_tokens}
    return {}


def predict_bytes(model: nn.Module, choices: tuple[Choice, ...]) -> int:
    """Bytes of all constants in the file: chosen matrices, other parameters, tables.

    Mutable buffers (the KV cache) are allocated at run time and not stored; the factors of an
    adapter are in a file of their own.
    """
    matrices = {f"{c.name}.weight" for c in choices}
    others = [
        p.numel() * p.element_size()
        for name, p in model.named_parameters(remove_duplicate=False)
        if name not in matrices and not name.endswith(FACTORS)
    ]
    tables = [
        b.numel() * b.element_size() for name, b in model.named_buffers() if "cache" not in name
    ]
    return sum(c.bytes for c in choices) + sum(others) + sum(tables)


def _tied_remark(model: LanguageModel, choices: tuple[Choice, ...]) -> str:
    modules = dict(model.named_modules())
    table = next((c.scheme for c in choices if modules[c.name] is model.input_embedding()), None)
    head = next((c.scheme for c in choices if c.name == model.head_name), None)
    return f"stored twice: once as a table to look up ({table}), once as the output matrix ({head})"


def _remark(choices: tuple[Choice, ...]) -> str:
    counts = Counter(c.scheme for c in choices)
    return ", ".join(f"{count} x {scheme}" for scheme, count in sorted(counts.items()))
