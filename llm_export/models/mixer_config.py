"""Configs of the token mixers other than attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from llm_export.models.norm_config import NormConfig


class Linear(NamedTuple):
    """A linear of a mixer: the weight's rows and columns, and whether there is a bias."""

    name: str
    rows: int
    columns: int
    bias: bool = False


class MixerShapes(NamedTuple):
    """A mixer without its values.

    Attributes:
        linears: in the order of its modules.
        other: parameters that are in no linear.
        state: values of its states.
    """

    linears: tuple[Linear, ...]
    other: int
    state: int


@dataclass(frozen=True)
class ShortConvConfig:
    """A gated short convolution (LFM2): ``out(c * conv(b * x))``, of three projections.

    Attributes:
        kernel: taps of the causal convolution, one filter per channel.
        bias: whether projections and convolution have a bias.
    """

    kernel: int
    bias: bool = False
    kind: str = "short_conv"

    in_blocks: ClassVar[bool] = False

    def shapes(self, hidden: int) -> MixerShapes:
        linears = tuple(Linear(name, hidden, hidden, self.bias) for name in ("b", "c", "x", "out"))
        return MixerShapes(linears, hidden * (self.kernel + self.bias), hidden * (self.kernel - 1))


@dataclass(frozen=True)
class GatedDeltaConfig:
    """Gated delta net (arXiv:2412.06464): linear attention whose state forgets and corrects itself.

    Attributes:
        key_heads, value_heads: a key head serves ``value_heads / key_heads`` value heads.
        key_dim, value_dim: channels of a head.
        kernel: taps of the causal convolution over queries, keys and values.
        norm: of each value head's output.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    norm: NormConfig
    kind: str = "gated_delta"

    in_blocks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.value_heads % self.key_heads:
            raise ValueError(
                f"{self.value_heads} value heads are not a multiple of {self.key_heads} key heads"
            )

    def shapes(self, hidden: int) -> MixerShapes:
        values = self.value_heads * self.value_dim
        channels = 2 * self.key_heads * self.key_dim + values
        linears = (
            Linear("qkv", channels, hidden),
            Linear("gate", values, hidden),
            Linear("beta", self.value_heads, hidden),
            Linear("decay", self.value_heads, hidden),
            Linear("out", hidden, values),
        )
        other = channels * self.kernel + 2 * self.value_heads + self.value_dim
        return MixerShapes(linears, other, channels * (self.kernel - 1) + values * self.key_dim)


@dataclass(frozen=True)
class Mamba2Config:
    """Mamba-2, a selective state space model with scalar decays (arXiv:2405.21060).

    Attributes:
        heads, head_dim: channels of the inner size, ``heads * head_dim``.
        state: channels of a head's state.
        groups: heads of a group share their input and output projections of the state (B and C).
        kernel: taps of the causal convolution.
        conv_bias, bias, out_bias: whether the convolution, the input projection and the output
            projection have a bias.
        step_limits: bounds of the step size after the softplus.
        gate_norm: norm of the output; None: it is only gated.
        norm_groups: parts of the inner size that are normed apart.
        gate_first: whether the gate is applied before the norm.
        activation: after the convolution.
        scales: factors on the parts of the input projection (gate, x, B, C, step size), which
            checkpoints leave out of its weight, and reading folds in.
    """

    heads: int
    head_dim: int
    state: int
    groups: int
    kernel: int
    conv_bias: bool = True
    bias: bool = False
    out_bias: bool = False
    step_limits: tuple[float, float] = (0.0, math.inf)
    gate_norm: NormConfig | None = None
    norm_groups: int = 1
    gate_first: bool = True
    activation: str = "silu"
    scales: tuple[float, ...] | None = None
    kind: str = "mamba2"

    in_blocks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.heads % self.groups or self.inner % self.norm_groups:
            raise ValueError(
                f"{self.heads} heads of {self.head_dim} channels do not divide into "
                f"{self.groups} groups, or {self.norm_groups} parts for the norm"
            )

    @property
    def inner(self) -> int:
        return self.heads * self.head_dim

    @property
    def conv_channels(self) -> int:
        return self.inner + 2 * self.groups * self.state

    def shapes(self, hidden: int) -> MixerShapes:
        channels = self.conv_channels
        linears = (
            Linear("gate", self.inner, hidden, self.bias),
            Linear("xbc", channels, hidden, self.bias),
            Linear("dt", self.heads, hidden, self.bias),
            Linear("out", hidden, self.inner, self.out_bias),
        )
        norm = 0 if self.gate_norm is None else self.inner
        other = channels * (self.kernel + self.conv_bias) + 3 * self.heads + norm
        return MixerShapes(linears, other, channels * (self.kernel - 1) + self.inner * self.state)


MixerConfig = ShortConvConfig | GatedDeltaConfig | Mamba2Config
"""Token mixers other than attention. Each keeps a recurrent state of fixed size."""

BLOCK_STEP = 128
"""Tokens of a step beyond which mixers that compute it as one block of products (gated delta net,
Mamba-2) do more work than they save.
"""
