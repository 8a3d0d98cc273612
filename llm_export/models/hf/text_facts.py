"""What a recipe must know of a transformers model that steps through text, before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import ContextLimit
from llm_export.models.mixer_config import BLOCK_STEP

if TYPE_CHECKING:
    from llm_export.models.hf.model import HFModel

T = TypeVar("T")


def without_loading(build: Callable[[str], T]) -> T | None:
    """What ``build(device)`` makes of a model without values; None if its step cannot be followed
    without them.

    Raises:
        CheckpointError: of ``build``.
    """
    import torch

    from llm_export.compat.fake_loading import needs_values, without_values

    # Of a tensor on meta even the device differs; fake tensors claim to be on the CPU, and take
    # longer.
    for device, context in (("meta", torch.device("meta")), ("cpu", without_values())):
        with context:
            try:
                return build(device)
            except CheckpointError as error:
                if not needs_values(error.__cause__):
                    raise
    return None


def kinds_of(obstacle: str | None, windows: Sequence[int], longest: int) -> tuple[str, ...]:
    """Kinds of attention, best first.

    Args:
        obstacle: why the fused operators cannot be used, or None.
        windows: of layers.
        longest: window of a layer that is worth a ring.
    """
    ring = ("ring",) if any(window <= longest for window in windows) else ()
    if obstacle is None:
        return ("custom_op", "plain", "cacheless", *ring)
    return ("plain", "cacheless", *ring)


def step_limit(model: HFModel) -> int | None:
    """A limit for recurrences that are computed in one block."""
    from llm_export.compat.transformers_recurrence import calls_any
    from llm_export.models.hf.recurrence import IN_BLOCKS

    return BLOCK_STEP if model.recurrent and calls_any(model.hf, IN_BLOCKS) else None


def behind_padding(limit: ContextLimit | None, first_position: int) -> ContextLimit | None:
    """What is left of a limit where positions are kept for padding."""
    if limit is None or not first_position:
        return limit
    left = limit.tokens - first_position
    return ContextLimit(left, f"{limit.why}, {first_position} of them for padding")
