"""Inspect and convert checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.api.hub_ids import is_hub_id
from llm_export.config.schema import CheckpointConfig

if TYPE_CHECKING:
    from llm_export.models.convert import Converted
    from llm_export.models.inventory import Inventory

CheckpointLike = str | Path | CheckpointConfig
"""A file, a folder, ORG/NAME on the Hugging Face hub, or a recipe's ``checkpoint``."""


def inspect(
    checkpoint: CheckpointLike,
    *,
    revision: str | None = None,
    adapter: str | None = None,
    config: str | None = None,
) -> Inventory:
    """Report the contents of a checkpoint and whether the model can be built from it. Only headers
    are read.

    Args:
        revision: branch, tag or commit of ORG/NAME.
        adapter: folder of a LoRA adapter to merge.
        config: config.json or params.json to use.

    Raises:
        CheckpointError, MissingDependencyError: it cannot be read or fetched.
    """
    from llm_export.models.inventory import take_inventory

    return take_inventory(_source(checkpoint, revision, adapter, config))


def next_step(
    checkpoint: CheckpointLike,
    inventory: Inventory,
    *,
    revision: str | None = None,
    adapter: str | None = None,
    config: str | None = None,
) -> list[tuple[str, str]]:
    """Whether an export of the checkpoint fits into the free memory, and the command to run next,
    as (name, value). The arguments are those of ``inspect``, whose result is ``inventory``."""
    from llm_export.amounts import amount
    from llm_export.config.quoting import quoted_override
    from llm_export.free_memory import available_memory

    source, free = _source(checkpoint, revision, adapter, config), available_memory()
    words = ["model=auto"]
    for key in ("path", "hf_id", "revision", "config_path", "adapter"):
        value = getattr(source, key)
        if value is not None:
            words.append(quoted_override(f"checkpoint.{key}={value}"))
    needed, exact = _memory(words, 4 * inventory.parameters)
    fits = "fits" if needed < free else "does not fit"
    about = "an export needs about" if exact else "the float32 model alone needs"
    memory = f"{fits}: {about} {amount(needed)}, {amount(free)} are free"
    command = " ".join(["llm-export run", *words, "backend=xnnpack", "quant=8da8w"])
    return [("memory", memory), ("next", command)]


def _memory(words: list[str], floats: int) -> tuple[int, bool]:
    """Bytes that an export takes at most, and whether that is predicted or only the weights."""
    import shlex

    from llm_export.api.recipes import predict
    from llm_export.errors import LlmExportError

    try:
        stated = [part for word in words for part in shlex.split(word)]
        found = predict(None, [*stated, "backend=xnnpack", "quant=8da8w"])
    except LlmExportError:
        found = None
    return (floats, False) if found is None else (found.memory, True)


def convert(
    checkpoint: CheckpointLike,
    out: str | Path,
    *,
    dtype: str | None = None,
    max_positions: int = 8192,
    revision: str | None = None,
    adapter: str | None = None,
    config: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Converted:
    """Convert a checkpoint to a Hugging Face folder; an adapter is merged.

    Args:
        out: output folder, which must not exist.
        dtype: f32, bf16 or f16; None keeps the stored float types.
        max_positions: maximum context length of the model in tokens; Meta's format lacks it.
        revision, adapter, config: as in ``inspect``.
        progress: called with (done, total) tensors.

    Raises:
        CheckpointError: it cannot be read, or its architecture is not supported.
        InputError: ``out`` exists, or cannot be written.
    """
    from llm_export.models.convert import convert

    source = _source(checkpoint, revision, adapter, config)
    return convert(source, Path(out), dtype=dtype, max_positions=max_positions, progress=progress)


def _source(
    checkpoint: CheckpointLike, revision: str | None, adapter: str | None, config: str | None
) -> CheckpointConfig:
    if isinstance(checkpoint, CheckpointConfig):
        return checkpoint
    word = str(checkpoint)
    on_hub = isinstance(checkpoint, str) and is_hub_id(word)
    return CheckpointConfig(
        path=None if on_hub else word,
        hf_id=word if on_hub else None,
        revision=revision,
        config_path=config,
        adapter=adapter,
    )
