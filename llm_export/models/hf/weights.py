"""Load weights of transformers models with the library's own loader.

The loader knows the renamings and fusions between checkpoints and modules. Tensors that it reports
as missing, unexpected or of another shape are errors here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Checkpoint, describe_tensors
from llm_export.compat.fake_loading import without_values
from llm_export.compat.transformers_models import ignored_names, loading_one_by_one
from llm_export.errors import CheckpointError
from llm_export.models.hf.auto_class import CAUSAL, AutoClass
from llm_export.models.hf.config import build_model, model_class, quietly
from llm_export.models.load_weights import Coverage, finite

_FIX = "check that the config describes this checkpoint"


def from_checkpoint(
    config: Any, checkpoint: Checkpoint, auto: AutoClass = CAUSAL
) -> tuple[Any, Coverage]:
    """A float32 model with the tensors of a checkpoint with Hugging Face names.

    Each stored tensor is read and released as transformers converts it to a float32 parameter, so
    there are never two copies of the model.

    Raises:
        CheckpointError: names or shapes do not fit, or values are not finite.
    """
    _require_hf_names(checkpoint)
    tensors = {name: _Once(tensor) for name, tensor in checkpoint.tensors()}
    model = _loaded(config, checkpoint, tensors, auto)
    _require_finite(model)
    ignored = _ignored(model, tensors)
    return model, Coverage(
        used=len(tensors) - len(ignored),
        ignored=ignored,
        tied=sorted(model.all_tied_weights_keys),
        parameters=sum(p.numel() for p in model.parameters()),
    )


def require_fit(config: Any, checkpoint: Checkpoint, auto: AutoClass = CAUSAL) -> int:
    """Load the checkpoint's names and shapes, without values, as ``from_checkpoint`` loads it.

    Returns:
        The number of tensors that the model uses.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    _require_hf_names(checkpoint)
    infos = describe_tensors(checkpoint)
    with without_values():
        tensors = {name: torch.empty(info.shape) for name, info in infos.items()}
        model = _loaded(config, checkpoint, tensors, auto)
    return len(tensors) - len(_ignored(model, tensors))


def _require_hf_names(checkpoint: Checkpoint) -> None:
    if checkpoint.naming != "hf":
        raise CheckpointError(
            f"the generic tier needs Hugging Face's tensor names; {checkpoint.format} has others",
            where=str(checkpoint.files[0]) if checkpoint.files else None,
            fix="give the model's Hugging Face folder: checkpoint.path=FOLDER",
        )


def _ignored(model: Any, names: Iterable[str]) -> list[str]:
    patterns = [re.compile(p) for p in ignored_names(model)]
    return [n for n in names if any(p.search(n) for p in patterns)]


def _loaded(
    config: Any, checkpoint: Checkpoint, tensors: Mapping[str, Any], auto: AutoClass
) -> Any:
    """The library's model of the tensors.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    try:
        with quietly(), loading_one_by_one():
            model, report = model_class(config, auto).from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                dtype=torch.float32,
                attn_implementation="eager",
                # Shape mismatches are reported, not raised, and rejected below by name.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except RuntimeError as error:
        raise CheckpointError(
            f"transformers cannot take up the tensors: {str(error).strip().splitlines()[0]}",
            where=str(checkpoint.files[0]),
            fix=_FIX,
        ) from error
    _require_complete(report)
    return model


class _Once:
    """A tensor that can be read only once, by the operation that transformers uses for loading (on
    a file: a safetensors slice). Plain tensors would live as long as their dict.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor: Tensor | None = tensor

    def __getitem__(self, index: Any) -> Tensor:
        tensor, self._tensor = self._tensor, None
        if tensor is None:
            raise RuntimeError("a tensor of the checkpoint was asked for twice")
        return tensor[index]


def filled_model(
    config: Any, checkpoint: Checkpoint, seed: int | None, auto: AutoClass = CAUSAL
) -> tuple[Any, Coverage]:
    """``from_checkpoint``, or ``random_model`` where the recipe asks for random weights."""
    if checkpoint.naming == "model":
        assert seed is not None
        return random_model(config, seed, auto)
    return from_checkpoint(config, checkpoint, auto)


def random_model(config: Any, seed: int, auto: AutoClass = CAUSAL) -> tuple[Any, Coverage]:
    """A float32 model with weights from ``seed``, scaled so that logits spread as in a real
    model.
    """
    model = build_model(config, auto, dtype=torch.float32)
    with torch.no_grad():
        for name, module in model.named_modules():
            for leaf, parameter in module.named_parameters(recurse=False):
                # Seeded by name, so that a tensor is independent of the order of the others.
                key = zlib.crc32(f"{name}.{leaf}".encode())
                generator = torch.Generator().manual_seed(seed ^ key)
                parameter.copy_(_random(module, leaf, parameter, generator))
    model.tie_weights()
    parameters = list(model.parameters())
    return model, Coverage(
        used=len(parameters), tied=sorted(model.all_tied_weights_keys),
        parameters=sum(p.numel() for p in parameters),
    )  # fmt: skip


def _random(module: nn.Module, leaf: str, like: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=generator)
    if like.dim() < 2:
        norm = leaf == "weight" and not isinstance(module, nn.Linear)
        return (1.0 if norm else 0.0) + 0.1 * noise
    return noise if isinstance(module, nn.Embedding) else noise * like.shape[-1] ** -0.5


def _require_complete(report: dict[str, Any]) -> None:
    differing = [
        f"'{name}' has shape {tuple(found)}; the model needs {tuple(needed)}"
        for name, found, needed in report["mismatched_keys"]
    ]
    if differing:
        raise CheckpointError("; ".join(sorted(differing)[:2]), where="checkpoint", fix=_FIX)
    groups = ((report["missing_keys"], "are missing"),
              (report["unexpected_keys"], "have no place in the model"))  # fmt: skip
    faults = [f"{len(names)} tensors {verb}: {_some(names)}" for names, verb in groups if names]
    if faults:
        raise CheckpointError("; ".join(faults), where="checkpoint", fix=_FIX)


def _require_finite(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not finite(parameter):
            raise CheckpointError(f"'{name}' holds values that are not finite (NaN or infinity)")


def _some(names: Any, limit: int = 4) -> str:
    listed = sorted(names)
    return ", ".join(listed[:limit]) + (", ..." if len(listed) > limit else "")
