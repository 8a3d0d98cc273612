"""Tensors as contracts write them: ``float32|float16[1,S?,V]``.

Dtypes are separated by ``|``. A dimension is a number; ``V``, the vocabulary; another capital
letter, any size; with ``..`` behind it, a size that must be dynamic; with ``?`` behind it, a
dimension that may be missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from llm_export.compat.program_methods import DTYPES, TensorMeta

VOCABULARY = "V"
_TENSOR = re.compile(r"([a-z0-9|]+)\[([^\]]*)\]")
_DIM = re.compile(r"(?:(\d+)|([A-Z]))(\.\.|\?)?")


class Mismatch(NamedTuple):
    """``kind``: dtype, rank, fixed or size."""

    kind: str
    text: str


@dataclass(frozen=True)
class Dim:
    """``size``: None of any size."""

    text: str
    size: int | None
    vocabulary: bool = False
    dynamic: bool = False
    optional: bool = False


@dataclass(frozen=True)
class TensorRule:
    text: str
    dtypes: tuple[str, ...]
    dims: tuple[Dim, ...]

    def mismatch(self, tensor: object, vocabulary: int | None) -> Mismatch | None:
        """What of a tensor is not as required; None if it is.

        Args:
            tensor: what a method takes or returns.
            vocabulary: the size that ``V`` stands for; None: any.
        """
        if not isinstance(tensor, TensorMeta):
            return Mismatch("dtype", "is no tensor")
        if tensor.dtype not in self.dtypes:
            return Mismatch("dtype", f"is of {tensor.dtype}")
        spare = len(self.dims) - len(tensor.sizes)
        dims = [dim for dim in self.dims if not dim.optional or spare <= 0]
        if len(dims) != len(tensor.sizes):
            return Mismatch("rank", f"has {len(tensor.sizes)} dimensions")
        for dim, size in zip(dims, tensor.sizes, strict=True):
            if dim.dynamic and not tensor.dynamic:
                return Mismatch("fixed", f"has a fixed {dim.text[0]} of {size}")
            wanted = vocabulary if dim.vocabulary else dim.size
            if wanted is not None and size != wanted:
                return Mismatch("size", f"has {size} where {wanted} is required")
        return None


def parse_tensor(text: str) -> TensorRule:
    """
    Raises:
        ValueError: not of this form.
    """
    match = _TENSOR.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ValueError(f"'{text}' is no tensor, such as int64[1,S]")
    dtypes = tuple(match[1].split("|"))
    if unknown := [each for each in dtypes if each not in DTYPES.values()]:
        raise ValueError(f"'{text}': '{unknown[0]}' is no dtype")
    return TensorRule(text, dtypes, tuple(_dim(d, text) for d in match[2].split(",") if d))


def _dim(text: str, whole: str) -> Dim:
    match = _DIM.fullmatch(text)
    if match is None:
        raise ValueError(f"'{whole}': '{text}' is no dimension, such as 1, S, S.. or V")
    return Dim(
        text, int(match[1]) if match[1] else None, match[2] == VOCABULARY,
        dynamic=match[3] == "..", optional=match[3] == "?",
    )  # fmt: skip
