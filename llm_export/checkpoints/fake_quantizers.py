"""What fake quantizers of quantization-aware training leave in a checkpoint.

Those of torchao keep nothing: scales are computed in each forward pass, so the checkpoint is
that of the float model, and quant.qat says how to go on. Only ranges that were themselves
learned (``range_learning``, a prototype) or fixed (``is_dynamic=False``) are parameters.
"""

from __future__ import annotations

from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError

MARKS = (".weight_fake_quantizer.", ".activation_fake_quantizer.")


def refuse_learned_ranges(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError, by name, if the checkpoint has ranges that were learned.

    A weight on such a range is not what its own values would be rounded to, and no kernel here
    takes activations with fixed ranges.
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
