"""Let a library load tensors that have shapes and no values.

``FakeTensorMode`` is what ``torch.export`` traces with and has no public name. Written for
torch 2.13.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _Unequal(TorchFunctionMode):
    """Loaders compare an embedding with an output matrix that is stored beside it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return False if func is torch.equal else func(*args, **(kwargs or {}))


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Context in which tensors are created, converted and stacked by their shapes alone, and no two
    are equal. The log of failed operations is off: a misfit of shapes is reported by who asked for
    the operation."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), _Unequal():
            yield
    finally:
        log.disabled = before


def needs_values(error: BaseException | None) -> bool:
    """Whether an operation failed only because its tensors have no values."""
    from torch._subclasses.fake_tensor import (
        DataDependentOutputException,
        DynamicOutputShapeException,
        UnsupportedFakeTensorException,
    )

    kinds = (DataDependentOutputException, DynamicOutputShapeException,
             UnsupportedFakeTensorException, NotImplementedError)  # fmt: skip
    return isinstance(error, kinds) or "meta tensor" in str(error)
