"""What the checks of a definition found, as text for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint


def built(model: Any) -> str:
    """Of a model that was built on the meta device."""
    return f"builds, {sum(p.numel() for p in model.parameters()):,} parameters"


def placed(model: Any, checkpoint: Checkpoint, used: int) -> str:
    """Of a model and a checkpoint whose ``used`` tensors fit it."""
    from llm_export.checkpoints.base import remarks_of

    fits = f"all {used} tensors of the {checkpoint.format} checkpoint have a place"
    return "; ".join([built(model), fits, *remarks_of(checkpoint)])
