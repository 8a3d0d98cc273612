"""Self-attention of encoders and decoders of speech models."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.attention_cores import CoreFactory, CoreShape
from llm_export.models.components.rope import inverse_frequencies
from llm_export.models.components.step import Step
from llm_export.models.config import RopeConfig
from llm_export.models.speech.config import StackConfig


class PairedRotaryTables(nn.Module):
    """Rotary position embedding over pairs of neighbouring channels.

    The rotation is ``x * cos + x @ swap * sin``: a permutation by a product keeps weights in the
    checkpoint's order, and is delegated where strided slices are not.

    Args:
        heads: how many lie side by side in what is rotated.
    """

    cos: Tensor
    sin: Tensor
    swap: Tensor

    def __init__(self, config: RopeConfig, positions: int, head_dim: int, heads: int = 1) -> None:
        super().__init__()
        self.config, self.positions = config, positions
        self.head_dim, self.heads = head_dim, heads
        width = heads * head_dim
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(positions, width), persistent=False)
        self.register_buffer("swap", torch.empty(width, width), persistent=False)

    def init_buffers(self) -> None:
        frequencies, factor = inverse_frequencies(self.config)
        at = torch.arange(self.positions, dtype=torch.float32, device="cpu")
        angles = torch.outer(at, frequencies).repeat_interleave(2, dim=-1)
        rest = self.head_dim - self.config.dim
        sign = torch.tensor([-1.0, 1.0], device="cpu").repeat(self.config.dim // 2)
        dtype = self.cos.dtype
        cos = F.pad(angles.cos() * factor, (0, rest), value=1.0)
        sin = F.pad(angles.sin() * factor * sign, (0, rest))
        self.cos, self.sin = (t.to(dtype).repeat(1, self.heads) for t in (cos, sin))
        pairs = torch.arange(self.config.dim, device="cpu")
        swap = torch.zeros(self.head_dim, self.head_dim, dtype=dtype, device="cpu")
        swap[pairs, pairs ^ 1] = 1
        self.swap = torch.block_diag(*[swap] * self.heads)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin of positions [S], each [1, S, 1, E]."""
        return self.cos[positions][None, :, None], self.sin[positions][None, :, None]

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate [..., heads * E]."""
        return x * cos + F.linear(x, self.swap) * sin


class SelfAttention(nn.Module):
    """The projections."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config, hidden = config, config.hidden
        self.q = nn.Linear(hidden, hidden, bias=config.bias)
        self.k = nn.Linear(hidden, hidden, bias=config.key_bias)
        self.v = nn.Linear(hidden, hidden, bias=config.bias)
        self.out = nn.Linear(hidden, hidden, bias=config.out_bias)

    @property
    def scale(self) -> float:
        return self.config.head_dim**-0.5


class EncoderAttention(SelfAttention):
    """[T, D] -> [T, D]: each position attends to all. By two products: over the 1500 positions of
    Whisper they take three quarters of the time of ExecuTorch's fused operator.

    Without a batch: each view would compare its dimension of one with T.
    """

    def forward(
        self, x: Tensor, ropes: PairedRotaryTables | None, rotation: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if ropes is not None and rotation is not None:
            q, k = ropes.rotate(q, *rotation), ropes.rotate(k, *rotation)
        shape = (x.shape[0], self.config.heads, self.config.head_dim)
        q, k, v = ((t.view(shape).transpose(0, 1)) for t in (q * self.scale, k, v))
        weights = F.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
        return self.out(torch.bmm(weights, v).transpose(0, 1).reshape(x.shape))


class CachedAttention(SelfAttention):
    """[1, S, D] -> [1, S, D]: each token attends to itself and to those before it, which the core keeps."""

    def __init__(self, config: StackConfig, core: CoreFactory) -> None:
        super().__init__(config)
        self.core_shape = CoreShape(
            config.heads, config.heads, config.head_dim, config.head_dim, self.scale
        )
        self.core = core(self.core_shape)

    def forward(self, x: Tensor, step: Step, ropes: PairedRotaryTables | None) -> Tensor:
        shape = (x.shape[0], -1, self.config.heads, self.config.head_dim)
        q, k, v = (each(x).view(shape) for each in (self.q, self.k, self.v))
        if ropes is not None:
            q, k = (ropes.rotate(t, *step.rotations[0]) for t in (q, k))
        y = self.core(q, k, v, step, None)
        return self.out(y.reshape(x.shape))
