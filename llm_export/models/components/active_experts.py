"""A mixture of experts that computes the selected experts only.

Tokens are sorted by expert: each expert gets the rows of its own tokens, none if no token selects
it, and every token then collects the rows of its experts. The arithmetic is that of the selected
experts, in decoding as in prefill, at the price of row counts that depend on the data.

ExecuTorch 1.5's ``llama::quantized_moe_ffn`` does this in one operator, and is right. It is not
used: off Arm it dequantizes the matrices of the selected experts in every call
(``benchmarks/moe_operator.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check


class Mixture(nn.Module):
    """Base class of the mixtures of all model definitions.

    Attributes:
        active_only: whether it computes the selected experts only, instead of all for every token.
    """

    active_only: bool = False


def active_experts(
    x: Tensor, chosen: Tensor, weights: Tensor, experts: Sequence[Callable[[Tensor], Any]]
) -> Tensor:
    """Sum of the outputs of each token's experts, weighted.

    Args:
        x: [N, D].
        chosen: [N, K] int64, different experts in each row.
        weights: [N, K].
        experts: each maps [R, D] to [R, D], with R from 0 to N.

    Returns:
        [N, D].
    """
    n, count = x.shape[0], len(experts)
    ones = torch.ones_like(chosen)
    member = torch.zeros(n, count, dtype=torch.int64).scatter(1, chosen, ones).t().contiguous()
    outputs = []
    for index, expert in enumerate(experts):
        rows = torch.nonzero(member[index]).view(-1)
        if isinstance(rows.shape[0], int) and not rows.shape[0]:
            continue  # in eager mode; the number is not known while a graph is captured
        check(rows.shape[0] <= n)
        outputs.append(expert(x.index_select(0, rows)))
    # Where the row of a token is among those of all experts, in order.
    places = (member.view(-1).cumsum(0) - 1).view(count, n).gather(0, chosen.t())
    together = torch.cat(outputs)
    y = None
    for slot in range(chosen.shape[1]):
        part = together.index_select(0, places[slot]) * weights[:, slot : slot + 1]
        y = part if y is None else y + part
    assert y is not None
    return y
