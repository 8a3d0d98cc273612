"""Rotations that a program applies to its activations, in blocks of channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.dynamic_shapes import inferred


class BlockRotation(nn.Module):
    """[..., D] -> [..., D]: x Q for every block of channels.

    Args:
        matrix: orthogonal Q [b, b]; b divides D.
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.block = len(matrix)
        # As the weight of a linear. Equal for all layers: stored once.
        self.register_buffer("matrix", matrix.t().float().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        lead = inferred(x)
        blocks = x.reshape(*lead, x.shape[-1] // self.block, self.block)
        return F.linear(blocks, self.matrix).reshape(*lead, x.shape[-1])


class RotatedNorm(nn.Module):
    """[..., D] -> [..., D]: the last norm of a decoder whose residual stream is rotated by Q in
    blocks, rotated itself: g * (norm(x) Q^T) Q.

    A gain does not commute with Q. Applied here and not folded into the output matrix, it leaves
    that matrix equal to the rotated embedding.

    Args:
        norm: without a gain.
        gain: g, float [D].
        matrix: Q, orthogonal [b, b]; b divides D.
    """

    def __init__(self, norm: nn.Module, gain: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.norm = norm
        self.back, self.rotation = BlockRotation(matrix.t()), BlockRotation(matrix)
        self.weight = nn.Parameter(gain.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.rotation(self.back(self.norm(x)) * self.weight)
