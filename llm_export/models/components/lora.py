"""A linear with separate LoRA factors (arXiv:2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACTORS = ("lora_a", "lora_b")


@dataclass(frozen=True)
class Factors:
    """The update added to a weight [out, in]: b @ a.

    Attributes:
        a: [r, in].
        b: [out, r], multiplied by the adapter's scale.
    """

    a: Tensor
    b: Tensor


class LoraLinear(nn.Linear):
    """[..., in] -> [..., out]: W x + bias + B A x.

    It keeps the name and the weight of the linear that it replaces, so quantization rules apply to
    the same weight. They do not apply to the factors.

    Args:
        transposed: store the factors as [in, r] and [r, out]. A linear outside delegates
            is lowered to a product with its transposed weight; a weight stored transposed
            needs no transposition.
    """

    def __init__(self, base: nn.Linear, factors: Factors, transposed: bool) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        self.transposed = transposed
        a, b = (
            (f.T if transposed else f).to(torch.float32).contiguous()
            for f in (factors.a, factors.b)
        )
        self.lora_a = nn.Parameter(a, requires_grad=False)
        self.lora_b = nn.Parameter(b, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if self.transposed:
            return y + torch.matmul(torch.matmul(x, self.lora_a), self.lora_b)
        return y + F.linear(F.linear(x, self.lora_a), self.lora_b)


def stacked(parts: list[tuple[int, Factors | None]]) -> Factors:
    """Combine the factors of linears with the same input into those of one linear with
    concatenated outputs.

    b is zero where a part does not use another part's a. Parts that share their a, because they
    come from one weight of the checkpoint, share it here too.

    Args:
        parts: (rows of the part's weight, its factors or None).
    """
    found = [factors for _, factors in parts if factors is not None]
    first: dict[int, int] = {}
    distinct: list[Tensor] = []
    rank = 0
    for factors in found:
        if id(factors.a) not in first:
            first[id(factors.a)] = rank
            distinct.append(factors.a)
            rank += factors.a.shape[0]
    b = torch.zeros(sum(rows for rows, _ in parts), rank)
    row = 0
    for rows, part in parts:
        if part is not None:
            column = first[id(part.a)]
            b[row : row + rows, column : column + part.b.shape[1]] = part.b
        row += rows
    return Factors(torch.cat(distinct).to(torch.float32), b)


def factor_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameter name -> values, for all factors of a model."""
    return {
        f"{name}.{leaf}": getattr(module, leaf).detach()
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear)
        for leaf in FACTORS
    }
