"""Weights and states of the token mixers other than attention, from their configs."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.models.config import (
    GatedDeltaConfig,
    Mamba2Config,
    MixerConfig,
    ShortConvConfig,
)
from llm_export.predict.matrix import Matrix, linear


def matrices(place: str, hidden: int, config: MixerConfig) -> Iterator[Matrix]:
    """The matrices of a mixer, in the order of its modules."""
    if isinstance(config, ShortConvConfig):
        for name in ("b", "c", "x", "out"):
            yield linear(f"{place}.{name}", hidden, hidden, config.bias)
    elif isinstance(config, GatedDeltaConfig):
        values = config.value_heads * config.value_dim
        yield linear(f"{place}.qkv", 2 * config.key_heads * config.key_dim + values, hidden)
        yield linear(f"{place}.gate", values, hidden)
        yield linear(f"{place}.beta", config.value_heads, hidden)
        yield linear(f"{place}.decay", config.value_heads, hidden)
        yield linear(f"{place}.out", hidden, values)
    else:
        yield linear(f"{place}.gate", config.inner, hidden, config.bias)
        yield linear(f"{place}.xbc", config.conv_channels, hidden, config.bias)
        yield linear(f"{place}.dt", config.heads, hidden, config.bias)
        yield linear(f"{place}.out", hidden, config.inner, config.out_bias)


def beside(hidden: int, config: MixerConfig) -> int:
    """Parameters of a mixer that are in no matrix, without the biases of its matrices."""
    channels, kernel, bias = _conv(hidden, config)
    count = channels * (kernel + bias)
    if isinstance(config, GatedDeltaConfig):
        count += 2 * config.value_heads + config.value_dim
    elif isinstance(config, Mamba2Config):
        count += 3 * config.heads + (config.inner if config.gate_norm is not None else 0)
    return count


def state(hidden: int, config: MixerConfig | None) -> int:
    """Values of a mixer's states."""
    if config is None:
        return 0
    channels, kernel, _ = _conv(hidden, config)
    count = channels * (kernel - 1)
    if isinstance(config, GatedDeltaConfig):
        count += config.value_heads * config.key_dim * config.value_dim
    elif isinstance(config, Mamba2Config):
        count += config.inner * config.state
    return count


def _conv(hidden: int, config: MixerConfig) -> tuple[int, int, bool]:
    """Channels, taps and whether there is a bias."""
    if isinstance(config, ShortConvConfig):
        return hidden, config.kernel, config.bias
    if isinstance(config, GatedDeltaConfig):
        values = config.value_heads * config.value_dim
        return 2 * config.key_heads * config.key_dim + values, config.kernel, False
    return config.conv_channels, config.kernel, config.conv_bias
