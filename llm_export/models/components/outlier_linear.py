"""A quantized linear with a float32 correction for what its kernel cannot represent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OutlierLinear(nn.Linear):
    """[..., in] -> [..., out]: W (x without outliers) + C [group sums of x, outliers of x].

    ``C`` contains the group offsets of weights quantized with zero points, which multiply the sum
    of a group's inputs, and the float columns of outlier channels. LLM.int8() (arXiv:2208.07339)
    also excludes outliers from the quantized product: activations of a token share one scale, so
    one large channel costs all others their precision.

    It keeps the name and the weight of the linear that it replaces.

    Args:
        offset: float32 [out, G] or None; G divides the number of inputs.
        columns: indices of outlier channels, or None.
        values: float32 [out, len(columns)], the float weight's columns of those channels.
    """

    sums: Tensor
    columns: Tensor
    others: Tensor

    def __init__(
        self, base: nn.Linear, offset: Tensor | None, columns: Tensor | None, values: Tensor | None
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        parts = []
        self.has_sums, self.has_outliers = offset is not None, columns is not None
        if offset is not None:
            # Equal for all linears with the same number of inputs and groups: stored once.
            sums = torch.eye(offset.shape[1]).repeat_interleave(
                base.in_features // offset.shape[1], dim=1
            )
            self.register_buffer("sums", sums)
            parts.append(offset)
        if columns is not None and values is not None:
            # Selected outside delegates: selecting by a matrix product would cost more bytes than
            # the columns.
            self.register_buffer("columns", columns)
            others = torch.ones(base.in_features)
            others[columns] = 0
            self.register_buffer("others", others)
            if offset is not None:
                # The group sums include the outliers.
                size = base.in_features // offset.shape[1]
                values = values - offset[:, columns // size]
            parts.append(values)
        self.correction = nn.Parameter(torch.cat(parts, 1).contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        if self.has_sums:
            parts.append(F.linear(x, self.sums))
        if self.has_outliers:
            parts.append(x.index_select(-1, self.columns))
        beside = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        inner = x * self.others if self.has_outliers else x
        return self.product(inner) + F.linear(beside, self.correction)

    def product(self, x: Tensor) -> Tensor:
        """The product with the weight alone."""
        return F.linear(x, self.weight, self.bias)
