"""Let a library load tensors that have shapes and no values.

``FakeTensorMode`` is what ``torch.export`` traces with and has no public name. Written for
torch 2.13.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Context in which tensors are created, converted and stacked by their shapes alone. The log of
    failed operations is off: a misfit of shapes is reported by who asked for the operation."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        log.disabled = before
