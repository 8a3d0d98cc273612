"""Rotary position embedding (arXiv:2104.09864) and its scalings.

Tables are computed once in float32 and gathered by position, so a program holds no
trigonometry and the same tables serve prefill and decode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from llm_export.models.config import RopeConfig

Scaling = Callable[[Tensor, Mapping[str, float]], Tensor]


def _none(inv_freq: Tensor, args: Mapping[str, float]) -> Tensor:
    return inv_freq


def _linear(inv_freq: Tensor, args: Mapping[str, float]) -> Tensor:
    """Position interpolation (arXiv:2306.15595)."""
    return inv_freq / args["factor"]


def _llama3(inv_freq: Tensor, args: Mapping[str, float]) -> Tensor:
    """Llama 3.1's scaling: long wavelengths divided, short kept, a smooth ramp between."""
    factor = args["factor"]
    low, high = args["low_freq_factor"], args["high_freq_factor"]
    original = args["original_max_position_embeddings"]
    wavelength = 2 * math.pi / inv_freq
    smooth = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * inv_freq / factor + smooth * inv_freq


SCALINGS: dict[str, Scaling] = {"none": _none, "linear": _linear, "llama3": _llama3}


def inverse_frequencies(config: RopeConfig) -> Tensor:
    """[E/2] float32 angular frequencies, in radians a position, after scaling."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device="cpu")
    inv_freq = 1.0 / (config.theta ** (exponent / config.head_dim))
    return SCALINGS[config.scaling](inv_freq, config.scaling_args)


class RotaryTables(nn.Module):
    """positions [S] -> (cos, sin), each [1, S, 1, E], ready to broadcast over heads."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: RopeConfig, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.context_length = context_length
        shape = (context_length, config.head_dim)
        self.register_buffer("cos", torch.empty(shape), persistent=False)
        self.register_buffer("sin", torch.empty(shape), persistent=False)

    def init_buffers(self) -> None:
        """Fill the tables; called once after the model has left the meta device."""
        positions = torch.arange(self.context_length, dtype=torch.float32, device="cpu")
        angles = torch.outer(positions, inverse_frequencies(self.config))
        angles = torch.cat((angles, angles), dim=-1)
        # The sign of rotate_half's first half is folded into sin: rotate() needs no negation.
        sign = torch.ones(self.config.head_dim, device="cpu")
        sign[: self.config.head_dim // 2] = -1
        self.cos, self.sin = angles.cos(), angles.sin() * sign

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos = self.cos[positions][None, :, None]
        sin = self.sin[positions][None, :, None]
        return cos, sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [B, S, N, E] by the angles of its positions (channel i pairs with i + E/2)."""
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    return x * cos + swapped * sin
