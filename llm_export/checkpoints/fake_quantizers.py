"""Tensors of quantization-aware-training fake quantizers in a checkpoint.

torchao's fake quantizers store nothing: they compute scales in each forward pass, so the
checkpoint equals that of the float model and quant.qat states how to continue. Only learned ranges
(``range_learning``, a prototype) and fixed ranges (``is_dynamic=False``) are stored as parameters.
"""

from __future__ import annotations

from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError

MARKS = (".weight_fake_quantizer.", ".activation_fake_quantizer.")


def refuse_learned_ranges(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError, with the names, if the checkpoint has learned ranges.

    Learned weight ranges differ from those computed from the weight's values, and no kernel here
    supports activations with fixed ranges.
    """
    native = getattr(checkpoint, "native_names", checkpoint.names)
    names = [name for name in native() if any(mark in f".{name}" for mark in MARKS)]
    if not names:
        return
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise CheckpointError(
        f"{len(names)} tensors are learned ranges of torchao's fake quantizers: {shown}",
        where=str(checkpoint.files[0].parent) if checkpoint.files else None,
        fix="train with scales that follow the weights (is_dynamic=True, range_learning=False, "
        "torchao's default), and say how in quant.qat",
    )
