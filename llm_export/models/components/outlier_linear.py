"""A quantized linear with what its kernel alone cannot represent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.dynamic_shapes import inferred


@dataclass(frozen=True)
class MeanInputs:
    """Further inputs of a linear: weighted sums of group means.

    It holds no tensor: layers whose modules have equal ones repeat (``layer_reuse``).

    Attributes:
        blocks: of adjacent inputs, whose sums have the same factors.
        zeros: inputs behind those of the last block, up to a whole group of columns.
        copies: of these inputs.
    """

    blocks: int
    zeros: int
    copies: int


class OutlierLinear(nn.Linear):
    """[..., in] -> [..., out]: W [x without outliers, its group means] + C (outliers of x).

    The columns of ``W`` for the group means hold the offsets of weights quantized with zero points.
    ``C`` has the float columns of outlier channels: LLM.int8() (arXiv:2208.07339) excludes them
    from the quantized product, since activations of a token share one scale, and one large channel
    costs all others their precision.

    It keeps the name of the linear that it replaces.

    Args:
        means: the further inputs that the weight will have columns for, or None.
        factors: float32 [sums, in / blocks], of the inputs of a block; or None.
        columns: indices of outlier channels, or None.
        values: float32 [out, len(columns)], the columns of those channels.
        by_product: whether a product selects the inputs of those channels, instead of their
            indices (``quant.outlier_selection``).
    """

    mean: Tensor
    columns: Tensor
    selection: Tensor
    others: Tensor

    def __init__(
        self, base: nn.Linear, means: MeanInputs | None, factors: Tensor | None,
        columns: Tensor | None, values: Tensor | None, *, by_product: bool = False,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        self.means, self.has_outliers = means, columns is not None
        if factors is not None:
            # Equal for all linears of a kind: stored once.
            self.register_buffer("mean", factors)
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

    def _further(self, x: Tensor, means: MeanInputs) -> list[Tensor]:
        """The inputs [..., K] -> [..., blocks * sums + zeros] each, of ``copies``.

        By a product, since delegates have no mean over channels; a dimension that may vary is left
        to be inferred, since they support no computed size.
        """
        lead, (outputs, size) = inferred(x), self.mean.shape
        found = F.linear(x.reshape(*lead, means.blocks, size), self.mean)
        found = found.reshape(*lead, means.blocks * outputs)
        if means.zeros:
            found = F.pad(found, (0, means.zeros))
        return [found] * means.copies
