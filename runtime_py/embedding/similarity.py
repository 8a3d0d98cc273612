"""How alike two embeddings are; larger is more alike, as in sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError


def cosine(a: Tensor, b: Tensor) -> Tensor:
    normal = torch.nn.functional.normalize
    return normal(a, dim=-1) @ normal(b, dim=-1).T


def dot(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b, p=2)


def manhattan(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b, p=1)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine, "dot": dot, "euclidean": euclidean, "manhattan": manhattan,
}  # fmt: skip
"""Name -> ([N, D], [M, D]) -> [N, M]."""


def similarity(name: str, a: Tensor, b: Tensor) -> Tensor:
    """[N, M] of [N, D] and [M, D].

    Raises:
        ArgumentError: the shapes do not fit.
    """
    for each in (a, b):
        if not isinstance(each, Tensor) or each.dim() != 2 or not each.is_floating_point():
            raise ArgumentError("similarity takes two tensors of embeddings, [N, D] and [M, D]")
    if a.shape[1] != b.shape[1]:
        raise ArgumentError(
            f"embeddings of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared",
            fix="cut both with the same dimensions=",
        )
    return SIMILARITIES[name](a.float(), b.float())
