"""Trace torchao's quantization of activations whose number of rows depends on the data.

Two of its tests need to know that number, although their outcome does not depend on it: whether a
block is smaller than its dimension, of blocks of one row; and whether there are zero points.

ExecuTorch's passes run every operator of a graph again on fake tensors, of which they need shape
and dtype only. torchao's operators are Python, a dozen operators each; their arithmetic is left
out there.
Written for torchao 0.18.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode


@contextmanager
def any_number_of_rows() -> Iterator[None]:
    """Context in which such activations can be traced; others are computed as before."""
    from torchao.quantization import quant_primitives as torchao

    plain = {name: getattr(torchao, name) for name in _PLACES}
    for name, instead in _PLACES.items():
        setattr(torchao, name, instead(plain[name]))
    try:
        yield
    finally:
        for name, function in plain.items():
            setattr(torchao, name, function)


def _reduction_by(plain: Any) -> Any:
    def reduction(block: Sequence[int], sizes: Sequence[Any]) -> tuple[list[Any], list[int]]:
        known = [1 if b == 1 else size for b, size in zip(block, sizes, strict=True)]
        shape, dims = plain(block, known)
        at = 0
        for b, size in zip(block, sizes, strict=True):
            if b == 1:
                shape[at] = size
            at += 1 if b in (1, size) else 2
        return shape, dims

    return reduction


class _Present:
    """Zero points that exist, with the only methods of a tensor that are called on them."""

    def __init__(self, values: Tensor) -> None:
        self._values = values

    def numel(self) -> int:
        return 1

    def view(self, shape: Sequence[int]) -> Tensor:
        return self._values.view(shape)


def _quantize_by(plain: Any) -> Any:
    def quantize(x: Tensor, block: Any, scale: Tensor, zeros: Any, *limits: Any) -> Any:
        if _only_shapes(x):
            return torch.empty_like(x)
        # Of no rows there are no zero points, which torchao takes for a kind without any.
        unclear = zeros is not None and (not isinstance(x.numel(), int) or not x.numel())
        return plain(x, block, scale, _Present(zeros) if unclear else zeros, *limits)

    return quantize


def _dequantize_by(plain: Any) -> Any:
    def dequantize(x: Tensor, block: Any, scale: Tensor, zeros: Any, low: Any, high: Any,
                   dtype: torch.dtype = torch.float32) -> Any:  # fmt: skip
        if _only_shapes(x):
            return torch.empty_like(x, dtype=dtype)
        return plain(x, block, scale, zeros, low, high, dtype)

    return dequantize


def _only_shapes(x: Tensor) -> bool:
    """Whether ``x`` has no values, and no graph of what is done with it is made."""
    return type(x) is FakeTensor and get_proxy_mode() is None and x.is_contiguous()


_PLACES = {
    "_get_reduction_params": _reduction_by,
    "_quantize_affine_no_dtype_cast": _quantize_by,
    "_dequantize_affine_no_dtype_check": _dequantize_by,
}
"""torchao's functions -> what takes their places."""
