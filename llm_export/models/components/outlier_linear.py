"""A quantized linear with what its kernel alone cannot represent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.dynamic_shapes import inferred


@dataclass(frozen=True)
class MeanColumns:
    """Further inputs of a linear: the means of its groups of inputs, or sums of them.

    Attributes:
        groups: number of groups; divides the number of inputs.
        width: inputs of one copy, at least ``groups``; those above are zero.
        copies: of these inputs.
        factor: that multiplies the means.
        sums: float32 [width, groups], the inputs as sums of means; None where they are the means.
    """

    groups: int
    width: int
    copies: int
    factor: float
    sums: Tensor | None = None


class OutlierLinear(nn.Linear):
    """[..., in] -> [..., out]: W [x without outliers, its group means] + C (outliers of x).

    The columns of ``W`` for the group means hold the offsets of weights quantized with zero points.
    ``C`` has the float columns of outlier channels: LLM.int8() (arXiv:2208.07339) excludes them
    from the quantized product, since activations of a token share one scale, and one large channel
    costs all others their precision.

    It keeps the name of the linear that it replaces.

    Args:
        means: the further inputs that the weight will have columns for, or None.
        columns: indices of outlier channels, or None.
        values: float32 [out, len(columns)], the columns of those channels.
        by_product: whether a product selects the inputs of those channels, instead of their
            indices (``quant.outlier_selection``).
    """

    mean: Tensor
    sums: Tensor
    columns: Tensor
    selection: Tensor
    others: Tensor

    def __init__(
        self, base: nn.Linear, means: MeanColumns | None, columns: Tensor | None,
        values: Tensor | None, *, by_product: bool = False,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        self.means, self.has_outliers = means, columns is not None
        if means is not None:
            size = base.in_features // means.groups
            # Equal for all groups of all linears: stored once.
            self.register_buffer("mean", torch.full((1, size), means.factor / size))
            if means.sums is not None:
                self.register_buffer("sums", means.sums)
        if columns is not None and values is not None:
            others = torch.ones(base.in_features)
            others[columns] = 0
            self.register_buffer("others", others)
            self.by_product = by_product
            if by_product:
                ones = F.one_hot(columns, base.in_features).to(torch.float32)
                self.register_buffer("selection", ones)
            else:
                self.register_buffer("columns", columns)
            self.correction = nn.Parameter(values.contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = x * self.others if self.has_outliers else x
        if self.means is not None:
            # Without the outliers, which would set the scale of all inputs again.
            means = self._group_means(inner, self.means)
            inner = torch.cat([inner, *[means] * self.means.copies], -1)
        y = self.product(inner)
        if self.has_outliers:
            y = y + F.linear(self._selected(x), self.correction)
        return y

    def _selected(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., outliers]"""
        if self.by_product:
            return F.linear(x, self.selection)
        return x.index_select(-1, self.columns)

    def product(self, x: Tensor) -> Tensor:
        """The product with the weight alone."""
        return F.linear(x, self.weight, self.bias)

    def _group_means(self, x: Tensor, means: MeanColumns) -> Tensor:
        """[..., K] -> [..., width]. By a product, since delegates have no mean over channels; a
        dimension that may vary is left to be inferred, since they support no computed size."""
        size, lead = self.mean.shape[1], inferred(x)
        grouped = F.linear(x.reshape(*lead, means.groups, size), self.mean)
        found = grouped.reshape(*lead, means.groups)
        if means.sums is not None:
            return F.linear(found, self.sums)
        if means.width == means.groups:
            return found
        return F.pad(found, (0, means.width - means.groups))
