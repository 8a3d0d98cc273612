"""An embedding and an output head in two matrices: their first rows, and the rest.

The ids of a byte-pair vocabulary are in the order of merges, frequent ones first, so that most of
the probability is in the first rows; the others bear more error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FIRST, REST = "first", "rest"
"""Names of the parts in their module."""


class SplitHead(nn.Module):
    """[..., D] -> [..., V]: the logits of the first ``rows`` ids, then of the others."""

    def __init__(self, whole: nn.Linear, rows: int) -> None:
        super().__init__()
        self.first = _linear(whole, slice(None, rows))
        self.rest = _linear(whole, slice(rows, None))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.rest(x)], -1)


class SplitEmbedding(nn.Module):
    """tokens [B, S] -> [B, S, D]: both parts are looked up, and one of the two rows is taken."""

    def __init__(self, whole: nn.Embedding, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.first = _table(whole.weight[:rows])
        self.rest = _table(whole.weight[rows:])

    def forward(self, tokens: Tensor) -> Tensor:
        first = self.first(tokens.clamp(max=self.rows - 1))
        rest = self.rest((tokens - self.rows).clamp(min=0))
        return torch.where((tokens < self.rows).unsqueeze(-1), first, rest)


def _linear(whole: nn.Linear, rows: slice) -> nn.Linear:
    weight = whole.weight[rows]
    part = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    part.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if whole.bias is not None:
        part.bias = nn.Parameter(whole.bias[rows].detach(), requires_grad=False)
    return part


def _table(weight: Tensor) -> nn.Embedding:
    rows, columns = weight.shape
    part = nn.Embedding(rows, columns, device="meta")
    part.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return part
