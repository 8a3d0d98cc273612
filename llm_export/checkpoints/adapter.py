"""Read a LoRA adapter (arXiv:2106.09685) of PEFT or torchtune: factors, scales, replaced
tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import Checkpoint, Reader
from llm_export.checkpoints.lora_config import CONFIG, LoraConfig, lora_config, read_lora_config
from llm_export.checkpoints.spans import ReadOnAccess, read_span
from llm_export.checkpoints.torchtune_adapter import (
    holds_torchtune_adapter,
    read_torchtune_adapter,
)
from llm_export.checkpoints.weights_file import read_spans
from llm_export.errors import CheckpointError

_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.weight)?")
# ``default`` is the adapter's name in files written by PEFT before 0.4.
_WRAPPED = re.compile(r"\.(modules_to_save(\.default)?|base_layer)(?=\.)")

Pair = tuple[Tensor, Tensor]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: W + scale * B @ A for each target module. Tensors are read on access.

    Attributes:
        files: the weights and the config.
        scale: module -> factor.
        pairs: module, under its Hugging Face name -> (A [r, in], B [out, r]). Of an embedding
            with weight [V, D], B @ A has this shape: in is D, out is V.
        shapes: module -> the shape that its weight must have.
        fan_in_fan_out: weights are stored as [in, out], so that (B @ A).T is added.
        replaced: tensor name -> the tensor that replaces the base model's.
        replaced_shapes: the same names -> shapes.
        base: base_model_name_or_path.
    """

    folder: Path
    files: tuple[Path, ...]
    scale: Mapping[str, float]
    pairs: Mapping[str, Pair]
    shapes: Mapping[str, Shape]
    fan_in_fan_out: bool
    replaced: Mapping[str, Tensor]
    replaced_shapes: Mapping[str, Shape]
    base: str


@dataclass(frozen=True)
class Stored:
    """A tensor of the adapter, loaded by ``read``."""

    shape: Shape
    read: Callable[[], Tensor]


@dataclass
class _Factors:
    """A and B of one module, collected one after the other."""

    embedding: bool
    sides: dict[str, Stored] = field(default_factory=dict)


def read_adapter(path: Path, model_config: Mapping[str, Any] | None = None) -> Adapter:
    """Read the folder that PEFT's ``save_pretrained`` wrote (config and headers), or one with
    an adapter of torchtune.

    Args:
        model_config: the base model's config.json, which an adapter of torchtune needs.

    Raises:
        InputError: no adapter_config.json. CheckpointError: no or damaged weights, a setting
            that is not implemented, factors that do not fit each other or the config.
        MissingDependencyError: the adapter is torchtune's, and that is not installed.
    """
    file, config, stored_tensors = _torchtune(path, model_config or {}) or _peft(path)
    factors: dict[str, _Factors] = {}
    replaced: dict[str, Stored] = {}
    for stored, tensor in stored_tensors.items():
        name = stored.removeprefix(_PREFIX)
        if match := _FACTOR.fullmatch(name):
            entry = factors.setdefault(match["module"], _Factors(bool(match["embedding"])))
            entry.sides[match["side"]] = tensor
        elif ".lora_" in name:
            raise CheckpointError(
                f"the adapter's tensor '{stored}' is of a kind that is not implemented",
                where=str(file),
                fix="merge it with PEFT (merge_and_unload)",
            )
        else:
            replaced[_WRAPPED.sub("", name)] = tensor
    _require_saved_modules(config, replaced, file)
    shapes = {m: _target_shape(m, f, config, file) for m, f in factors.items()}
    if not shapes and not replaced:
        raise CheckpointError("the adapter holds no tensors", where=str(file))
    return Adapter(
        folder=path,
        files=(file, path / CONFIG),
        scale={module: config.scale(module) for module in factors},
        pairs=ReadOnAccess({m: partial(_pair, f) for m, f in factors.items()}),
        shapes=shapes,
        fan_in_fan_out=config.fan_in_fan_out,
        replaced=ReadOnAccess({n: s.read for n, s in replaced.items()}),
        replaced_shapes={n: s.shape for n, s in replaced.items()},
        base=config.base,
    )


def _peft(folder: Path) -> tuple[Path, LoraConfig, dict[str, Stored]]:
    config = read_lora_config(folder)
    for name in _FILES:
        if (folder / name).is_file():
            spans = read_spans(folder / name)
            stored = {n: Stored(s.shape, partial(read_span, s)) for n, s in spans.items()}
            return folder / name, config, stored
    raise CheckpointError("the adapter has no weights", where=str(folder),
                          fix=f"needed: {' or '.join(_FILES)}")  # fmt: skip


def _torchtune(
    folder: Path, model_config: Mapping[str, Any]
) -> tuple[Path, LoraConfig, dict[str, Stored]] | None:
    """torchtune's Hugging Face checkpointer writes its own format next to PEFT's; its own wins."""
    if any((folder / name).is_file() for name in _FILES):
        return None
    found = [f for f in sorted(folder.glob("adapter_*.pt")) if holds_torchtune_adapter(f)]
    if len(found) > 1:
        raise CheckpointError(
            f"the folder holds {len(found)} adapters: {', '.join(f.name for f in found)}",
            where=str(folder),
            fix="a folder with one of them and adapter_config.json",
        )
    if not found:
        return None
    adapter = read_torchtune_adapter(found[0], model_config)
    config = lora_config({"peft_type": "LORA", **adapter.settings}, folder / CONFIG)
    stored = {n: Stored(tuple(t.shape), partial(_given, t)) for n, t in adapter.tensors.items()}
    return found[0], config, stored


def _given(tensor: Tensor) -> Tensor:
    return tensor


def _require_saved_modules(config: LoraConfig, replaced: Mapping[str, Stored], file: Path) -> None:
    for saved in config.modules_to_save:
        if not any(f".{saved}." in f".{name}" for name in replaced):
            raise CheckpointError(
                f"the adapter's config says modules_to_save={saved}, and its weights have none",
                where=str(file),
            )


def _target_shape(module: str, factors: _Factors, config: LoraConfig, file: Path) -> Shape:
    if missing := {"A", "B"} - set(factors.sides):
        raise CheckpointError(f"'{module}' has no lora_{min(missing)}", where=str(file))
    a, b, rank = factors.sides["A"].shape, factors.sides["B"].shape, config.rank(module)
    if len(a) != 2 or len(b) != 2 or a[0] != rank or b[1] != rank:
        raise CheckpointError(
            f"'{module}' has factors A {a} and B {b}; the adapter's config gives rank {rank}",
            where=str(file),
        )
    if factors.embedding or config.fan_in_fan_out:
        return a[1], b[0]
    return b[0], a[1]


def _pair(factors: _Factors) -> Pair:
    a, b = factors.sides["A"].read(), factors.sides["B"].read()
    # For an embedding PEFT adds (B @ A).T = A.T @ B.T.
    return (b.T, a.T) if factors.embedding else (a, b)


def _open_alone(path: Path, config_path: Path | None) -> Checkpoint:
    base = read_lora_config(path).base
    named = f" ({base})" if base else ""
    raise CheckpointError(
        "the folder holds an adapter and no model",
        where=str(path),
        fix=f"checkpoint.adapter={path}, and its base model{named} as checkpoint.path or hf_id",
    )


READER = Reader("", lambda path: (path / CONFIG).is_file(), _open_alone)
