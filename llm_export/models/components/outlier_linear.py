"""A quantized linear with what its kernel alone cannot represent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OutlierLinear(nn.Linear):
    """[..., in] -> [..., out]: W [x without outliers, its group means] + C (outliers of x).

    The columns of ``W`` for the group means hold the offsets of weights quantized with zero points.
    ``C`` has the float columns of outlier channels: LLM.int8() (arXiv:2208.07339) excludes them
    from the quantized product, since activations of a token share one scale, and one large channel
    costs all others their precision.

    It keeps the name of the linear that it replaces.

    Args:
        means: [inputs, columns], the further inputs of a part of so many columns, for which the
            weight will have columns too; the same for all parts. None without them.
        columns: indices of outlier channels, or None.
        values: float32 [out, len(columns)], the columns of those channels.
    """

    mean: Tensor
    columns: Tensor
    others: Tensor

    def __init__(
        self, base: nn.Linear, means: Tensor | None, columns: Tensor | None,
        values: Tensor | None,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        self.has_means, self.has_outliers = means is not None, columns is not None
        if means is not None:
            # Equal for all linears with as many inputs: stored once.
            self.register_buffer("mean", means)
        if columns is not None and values is not None:
            # Selected outside delegates: selecting by a matrix product would cost more bytes than
            # the columns.
            self.register_buffer("columns", columns)
            others = torch.ones(base.in_features)
            others[columns] = 0
            self.register_buffer("others", others)
            self.correction = nn.Parameter(values.contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = x * self.others if self.has_outliers else x
        if self.has_means:
            # Without the outliers, which would set the scale of all inputs again.
            inner = torch.cat([inner, self._group_means(inner)], -1)
        y = self.product(inner)
        if self.has_outliers:
            y = y + F.linear(x.index_select(-1, self.columns), self.correction)
        return y

    def product(self, x: Tensor) -> Tensor:
        """The product with the weight alone."""
        return F.linear(x, self.weight, self.bias)

    def _group_means(self, x: Tensor) -> Tensor:
        """[..., K] -> [..., further inputs]. By a product, since delegates have no mean over
        channels; a dimension that may vary is left to be inferred, since they support no computed
        size."""
        inputs, columns = self.mean.shape
        lead, parts = _inferred(x), self.in_features // columns
        found = F.linear(x.reshape(*lead, parts, columns), self.mean)
        return found.reshape(*lead, parts * inputs)


def _inferred(x: Tensor) -> list[int]:
    """The leading sizes of x, with at most one -1."""
    lead = list(x.shape[:-1])
    free = [i for i, size in enumerate(lead) if not (isinstance(size, int) and size == 1)]
    if len(free) == 1:
        lead[free[0]] = -1
    return lead
