"""Convert any checkpoint to a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.folder_writer import SHARD_BYTES, FolderWriter, require_new_folder
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError
from llm_export.models.build import build_on_meta
from llm_export.models.config import DecoderConfig
from llm_export.models.detect import model_option
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import Family
from llm_export.models.load_weights import cut, plan_names

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
_CONTEXT = 128  # tokens; parameters are independent of it
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Converted:
    tensors: int
    bytes: int
    tokenizer: bool


def convert(
    source: CheckpointConfig,
    out: Path,
    *,
    dtype: str | None = None,
    max_positions: int = 8192,
    progress: Progress = lambda done, total: None,
    shard_bytes: int = SHARD_BYTES,
) -> Converted:
    """Write ``source`` to the folder ``out``, merged with its adapter if it has one.

    Args:
        dtype: f32, bf16 or f16; None keeps the reader's dtypes: floating types as they are
            stored, quantized ones as float32, or bfloat16 where that is exact.
        max_positions: the model's context limit if the format does not state it (Meta).

    Raises:
        CheckpointError: it cannot be read, or its architecture has no fast tier and its
            names are not Hugging Face's.
        InputError: ``out`` exists, or cannot be written.
    """
    out = require_new_folder(out)  # before a download
    checkpoint = open_checkpoint(source, {})
    if checkpoint.naming == "hf":
        config, tensors = dict(checkpoint.config()), checkpoint.tensors()
    else:
        option = model_option(checkpoint, source, max_positions)
        family = FAMILIES.get(option.family)
        facts = family.read(option.config)
        config = {"model_type": family.name, "architectures": [family.architecture]}
        config |= {k: v for k, v in option.config.items() if v is not None}
        tensors = _renamed(checkpoint, family, facts)
    try:
        assets = checkpoint.tokenizer()
    except CheckpointError:
        assets = None
    total = len(checkpoint.names())
    target = DTYPES[dtype] if dtype is not None else None
    stored = target
    with FolderWriter(out, shard_bytes) as writer:
        for name, tensor in tensors:
            if target is not None and tensor.is_floating_point():
                tensor = tensor.to(target)
            stored = stored or tensor.dtype
            writer.add(name, tensor)
            progress(min(writer.tensors, total), total)
        config["dtype"] = str(stored).removeprefix("torch.")
        config.pop("torch_dtype", None)
        if assets is not None:
            config |= {"bos_token_id": assets.bos_id, "eos_token_id": list(assets.eos_ids)}
            writer.write_tokenizer(assets)
        writer.write_json("config.json", config)
    return Converted(writer.tensors, writer.bytes, assets is not None)


def _renamed(
    checkpoint: Checkpoint, family: Family, config: DecoderConfig
) -> Iterator[tuple[str, Tensor]]:
    """Rename a checkpoint's tensors to Hugging Face names, in Hugging Face's layout."""
    model = build_on_meta(config, _CONTEXT, "plain", False)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters(remove_duplicate=False)}
    plan = plan_names(shapes, family, config, checkpoint.naming, checkpoint.names())
    restore, arrange = (each.get(checkpoint.naming) for each in (family.restore, family.arrange))
    writer = HfNames(family, config, shapes)
    for name, tensor in checkpoint.tensors():
        place = plan.used.get(name)
        if place is None:
            continue
        tensor = tensor if arrange is None else arrange(name, tensor, config)
        for target, part in cut(name, tensor, place, shapes):
            yield from writer.take(
                target, part if restore is None else restore(target, part, config)
            )
    if writer.waiting:
        raise CheckpointError(f"parts of a tensor are missing: {next(iter(writer.waiting))}")


class HfNames:
    """Converts decoder parameters to Hugging Face tensors; fused ones wait for all their parts."""

    def __init__(
        self, family: Family, config: DecoderConfig, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.family, self.config, self.shapes = family, config, shapes
        self.keys = family.keys["hf"]
        self.waiting: dict[str, dict[str, Tensor]] = {}

    def take(self, target: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        if self.family.store is not None:
            tensor = self.family.store(target, tensor, self.config)
        joined = self.keys.joined(target, self.shapes)
        if joined is None:
            name = self.keys.to_checkpoint(target)
            assert name is not None, target
            yield name, tensor
            return
        split, name, targets = joined
        parts = self.waiting.setdefault(name, {})
        parts[target] = tensor
        if len(parts) == len(targets):
            whole = split.join([parts[t] for t in targets])
            back = self.family.disarrange
            yield name, whole if back is None else back(name, whole, self.config)
            del self.waiting[name]
