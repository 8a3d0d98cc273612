"""Orthogonal matrices as Kronecker products: Hadamard where the size allows it.

All entries of a Hadamard matrix are 1 or -1, so that each rotated channel is an even mixture of
all channels. Sizes that are powers of two are products of Sylvester's; others are completed
by Paley's two constructions (https://en.wikipedia.org/wiki/Paley_construction).

torchao's prototype has tables of such matrices, but reads them from a pickle, has fewer sizes
(not gpt-oss's 2880), and multiplies whole matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 64
"""Largest product of Sylvester matrices that is multiplied at once."""


@dataclass(frozen=True)
class Rotation:
    """x -> x Q with Q = diag(signs) (factors[0] x factors[1] x ...), a Kronecker product.

    Attributes:
        signs: float64 [n], each 1 or -1.
        factors: orthogonal, float64; the product of their sizes is n.
        hadamard: whether all entries of Q are of one magnitude.
    """

    signs: Tensor
    factors: tuple[Tensor, ...]
    hadamard: bool

    @property
    def size(self) -> int:
        return len(self.signs)

    def matrix(self) -> Tensor:
        """Q, float64 [n, n]."""
        return self(torch.eye(self.size, dtype=torch.float64))

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate the last dimension, or, where that is a multiple of n, each n of it."""
        shape = x.shape
        y = x.to(torch.float64).reshape(-1, self.size) * self.signs
        left = 1
        for factor in self.factors:
            size = len(factor)
            y = torch.einsum("lfr,fg->lgr", y.reshape(-1, size, self.size // left // size), factor)
            left *= size
        return y.reshape(shape).to(x.dtype)


def rotation(size: int, generator: torch.Generator) -> Rotation:
    """A random rotation: signs before a Hadamard matrix, or any orthogonal matrix."""
    factors = hadamard_factors(size)
    if factors is None:
        made, r = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))
        # Signs of r's diagonal make the matrix uniformly distributed (arXiv:math-ph/0609050).
        return Rotation(torch.ones(size, dtype=torch.float64), (made * r.diagonal().sign(),), False)
    signs = torch.randint(0, 2, (size,), generator=generator).double() * 2 - 1
    return Rotation(signs, tuple(f / math.sqrt(len(f)) for f in factors), True)


def hadamard_factors(size: int) -> list[Tensor] | None:
    """Hadamard matrices whose sizes multiply to ``size``; None if no construction is known."""
    odd = size
    while odd % 2 == 0:
        odd //= 2
    base = 1 if odd == 1 else 4 * odd
    while size % base == 0:
        first = torch.ones(1, 1, dtype=torch.float64) if base == 1 else paley(base)
        if first is not None:
            rest = _sylvester(size // base)
            return rest if base == 1 else [first, *rest]
        base *= 2
    return None


def paley(size: int) -> Tensor | None:
    """A Hadamard matrix of q + 1 or 2 (q + 1) rows, q prime, float64; or None."""
    if _is_prime(size - 1) and (size - 1) % 4 == 3:
        skew = _bordered(size - 1, -1)
        return torch.eye(size, dtype=torch.float64) + skew
    q = size // 2 - 1
    if size % 2 == 0 and _is_prime(q) and q % 4 == 1:
        symmetric, one = _bordered(q, 1), torch.eye(q + 1, dtype=torch.float64)
        return torch.kron(symmetric, _tensor([[1, 1], [1, -1]])) + torch.kron(
            one, _tensor([[1, -1], [-1, -1]])
        )
    return None


def _bordered(q: int, corner: int) -> Tensor:
    """Quadratic character of i - j, with a row of ones above and a column of ``corner``."""
    squares = {i * i % q for i in range(1, q)}
    character = _tensor([[0] + [1 if i in squares else -1 for i in range(1, q)]])[0]
    index = torch.arange(q)
    whole = torch.zeros(q + 1, q + 1, dtype=torch.float64)
    whole[0, 1:], whole[1:, 0] = 1, corner
    whole[1:, 1:] = character[(index[:, None] - index[None]) % q]
    return whole


def _sylvester(size: int) -> list[Tensor]:
    """Matrices of powers of two, each of at most ``_BLOCK`` rows, whose sizes multiply to this."""
    found = []
    while size > 1:
        rows, made = min(size, _BLOCK), _tensor([[1]])
        while len(made) < rows:
            made = torch.kron(_tensor([[1, 1], [1, -1]]), made)
        found.append(made)
        size //= rows
    return found


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def _tensor(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)
