"""A quantized linear with what its kernel alone cannot represent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.dynamic_shapes import inferred

_OUTPUTS = 8
"""Outputs of XNNPACK's narrowest tile in float32."""


@dataclass(frozen=True)
class MeanColumns:
    """Further inputs of a linear: the means of its groups of inputs.

    It holds no tensor: layers whose modules have equal ones repeat (``layer_reuse``).

    Attributes:
        groups: number of groups; divides the number of inputs.
        width: inputs of one copy, at least ``groups``; those above are zero.
        copies: of these inputs.
        factor: that multiplies the means.
        again: what the means are multiplied with where they follow themselves in a copy.
    """

    groups: int
    width: int
    copies: int
    factor: float
    again: float | None = None

    @property
    def together(self) -> int:
        """Groups whose means one row of a product gives: rows and outputs are so few that XNNPACK
        computes it as one tile, in the calling thread. Waking the others takes longer."""
        return max(n for n in range(1, _OUTPUTS + 1) if self.groups % n == 0)


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
        sums: float32 [S, groups], sums of means that follow the means, at most ``means.width`` -
            ``means.groups`` of them; or None.
    """

    mean: Tensor
    sums: Tensor
    columns: Tensor
    selection: Tensor
    others: Tensor

    def __init__(
        self, base: nn.Linear, means: MeanColumns | None, columns: Tensor | None,
        values: Tensor | None, sums: Tensor | None = None, *, by_product: bool = False,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        self.means, self.has_outliers = means, columns is not None
        self.has_sums = sums is not None
        if means is not None:
            size = base.in_features // means.groups
            # Equal for all linears of as many inputs: stored once.
            ones = torch.eye(means.together).repeat_interleave(size, 1)
            self.register_buffer("mean", ones * (means.factor / size))
            if sums is not None:
                self.register_buffer("sums", sums)
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
            inner = torch.cat([inner, *self._further(inner, self.means)], -1)
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

    def _further(self, x: Tensor, means: MeanColumns) -> list[Tensor]:
        """The inputs [..., K] -> [..., width] each, of ``copies``.

        By a product, since delegates have no mean over channels; a dimension that may vary is left
        to be inferred, since they support no computed size.
        """
        lead, together = inferred(x), means.together
        grouped = x.reshape(*lead, means.groups // together, self.mean.shape[1])
        found = F.linear(grouped, self.mean).reshape(*lead, means.groups)
        parts = [found]
        if self.has_sums:
            parts.append(F.linear(found, self.sums))
        elif means.again is not None:
            parts.append(found * means.again)
        filled = sum(part.shape[-1] for part in parts)
        if filled < means.width:
            parts[-1] = F.pad(parts[-1], (0, means.width - filled))
        return parts * means.copies
