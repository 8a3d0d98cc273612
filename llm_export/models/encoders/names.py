"""Names that the checkpoints of encoders share."""

from __future__ import annotations

import re
from collections.abc import Sequence

DENSE = [("dense.{i}.linear.{leaf}", "dense.{i}.{leaf}")]
"""Dense layers after pooling, in the order of modules.json; see ``checkpoint.py``."""


def optional_prefix(
    prefix: str, pairs: Sequence[tuple[str, str]], ignored: Sequence[str] = ()
) -> tuple[list[tuple[str, str]], list[str]]:
    """Names and ignored patterns without and with ``prefix``, which a checkpoint's tensors have
    where it was saved with a head for another task.
    """
    prefixed = [(f"{prefix}{theirs}", ours) for theirs, ours in pairs]
    escaped = re.escape(prefix)
    return [*pairs, *prefixed], [*ignored, *(f"{escaped}{pattern}" for pattern in ignored)]
