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
    """

    cos: Tensor
    sin: Tensor
    swap: Tensor

    def __init__(self, config: RopeConfig, positions: int, head_dim: int) -> None:
        super().__init__()
        self.config, self.positions, self.head_dim = config, positions, head_dim
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(positions, head_dim), persistent=False)
        self.register_buffer("swap", torch.empty(head_dim, head_dim), persistent=False)

    def init_buffers(self) -> None:
        frequencies, factor = inverse_frequencies(self.config)
        at = torch.arange(self.positions, dtype=torch.float32, device="cpu")
        angles = torch.outer(at, frequencies).repeat_interleave(2, dim=-1)
        rest = self.head_dim - self.config.dim
        sign = torch.tensor([-1.0, 1.0], device="cpu").repeat(self.config.dim // 2)
        dtype = self.cos.dtype
        self.cos = F.pad(angles.cos() * factor, (0, rest), value=1.0).to(dtype)
        self.sin = F.pad(angles.sin() * factor * sign, (0, rest)).to(dtype)
        pairs = torch.arange(self.config.dim, device="cpu")
        self.swap = torch.zeros(self.head_dim, self.head_dim, dtype=dtype, device="cpu")
        self.swap[pairs, pairs ^ 1] = 1

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin of positions [S], each [1, S, 1, E]."""
        return self.cos[positions][None, :, None], self.sin[positions][None, :, None]

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate [1, S, H, E]."""
        return x * cos + F.linear(x, self.swap) * sin


class SelfAttention(nn.Module):
    """[1, S, D] -> [1, S, D]."""

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

    def heads(
        self, x: Tensor, ropes: PairedRotaryTables | None, rotation: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [1, S, H, E], rotated."""
        shape = (x.shape[0], -1, self.config.heads, self.config.head_dim)
        q, k, v = (each(x).view(shape) for each in (self.q, self.k, self.v))
        if ropes is not None and rotation is not None:
            q, k = ropes.rotate(q, *rotation), ropes.rotate(k, *rotation)
        return q, k, v


class EncoderAttention(SelfAttention):
    """Each position attends to all. By two products: over 1500 positions of Whisper they take
    three quarters of the time of ExecuTorch's fused operator.
    """

    def forward(
        self,
        x: Tensor,
        ropes: PairedRotaryTables | None,
        rotation: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        q, k, v = self.heads(x, ropes, rotation)
        y = _attend(q * self.scale, k, v)
        return self.out(y.reshape(x.shape))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[1, S, H, E] each -> [1, S, H, E], by two products by head."""
    q, k, v = (each[0].transpose(0, 1) for each in (q, k, v))
    weights = F.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
    return torch.bmm(weights, v).transpose(0, 1)[None]


class CachedAttention(SelfAttention):
    """Each token attends to itself and to those before it, which the core keeps."""

    def __init__(self, config: StackConfig, core: CoreFactory) -> None:
        super().__init__(config)
        self.core_shape = CoreShape(
            config.heads, config.heads, config.head_dim, config.head_dim, self.scale
        )
        self.core = core(self.core_shape)

    def forward(self, x: Tensor, step: Step, ropes: PairedRotaryTables | None) -> Tensor:
        rotation = step.rotations[0] if step.rotations else None
        y = self.core(*self.heads(x, ropes, rotation), step, None)
        return self.out(y.reshape(x.shape))
