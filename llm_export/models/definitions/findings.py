"""What the checks of a definition found, as text for the user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

ANOTHER_OPTION = (
    "choose the model option that describes it (llm-export ls models), or override "
    "model.config.KEY=VALUE"
)


def built(model: Any) -> str:
    """Of a model that was built on the meta device."""
    return f"builds, {sum(p.numel() for p in model.parameters()):,} parameters"


def placed(model: Any, checkpoint: Checkpoint, used: int) -> str:
    """Of a model and a checkpoint whose ``used`` tensors fit it."""
    from llm_export.checkpoints.base import remarks_of

    fits = f"all {used} tensors of the {checkpoint.format} checkpoint have a place"
    return "; ".join([built(model), fits, *remarks_of(checkpoint)])


def require_same_model(
    differing: Iterable[str], checkpoint: Checkpoint, fix: str = ANOTHER_OPTION
) -> None:
    """
    Args:
        differing: what a checkpoint's config says otherwise than the model option.

    Raises:
        CheckpointError: there is something.
    """
    found = list(differing)
    if found:
        raise CheckpointError(
            "the checkpoint is of another architecture: " + "; ".join(found[:4]),
            where=str(checkpoint.files[0]) if checkpoint.files else "",
            fix=fix,
        )
