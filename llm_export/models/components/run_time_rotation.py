"""Rotations that a program applies to its activations."""

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
        # In two dimensions: a product of four is decomposed with a computed size, which
        # FuseViewCopyTransform of ExecuTorch moves before its computation.
        blocks = x.reshape(-1, self.block)
        return F.linear(blocks, self.matrix).reshape(*inferred(x), x.shape[-1])


class RotatedNorm(nn.Module):
    """[..., D] -> [..., D]: the last norm of a decoder whose residual stream is rotated by Q,
    rotated itself: norm(x) Q^T diag(g) Q.

    A gain does not commute with Q. Applied here and not folded into the output matrix, it leaves
    that matrix equal to the rotated embedding.

    Args:
        norm: without a gain.
        mixed: Q^T diag(g) Q, symmetric, float [D, D].
    """

    mixed: Tensor

    def __init__(self, norm: nn.Module, mixed: Tensor) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("mixed", mixed.float().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.mixed)
