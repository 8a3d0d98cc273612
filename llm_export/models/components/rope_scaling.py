"""RoPE scalings, which adapt the angular frequencies to contexts longer than in training.

Each takes the config and returns (inverse frequencies [dim/2] float32 in radians per position,
factor on cos and sin).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.errors import RecipeError
from llm_export.models.config import RopeConfig
from llm_export.models.rope_limits import ORIGINAL, dynamic_limit, factors_for

Frequencies = tuple[Tensor, float]


def _base(config: RopeConfig, theta: float | None = None) -> Tensor:
    exponent = torch.arange(0, config.dim, 2, dtype=torch.float32, device="cpu")
    return 1.0 / ((theta or config.theta) ** (exponent / config.dim))


def _number(config: RopeConfig, key: str) -> float:
    value = config.args[key]
    assert not isinstance(value, tuple)
    return value


def none(config: RopeConfig) -> Frequencies:
    return _base(config), 1.0


def linear(config: RopeConfig) -> Frequencies:
    """Position interpolation (arXiv:2306.15595)."""
    return _base(config) / _number(config, "factor"), 1.0


def dynamic(config: RopeConfig) -> Frequencies:
    """Dynamic NTK scaling, which changes the base with every token past the trained context.

    A program has one fixed table, so only contexts within the trained one can be exported; there
    the scaling has no effect. ``for_context`` rejects longer ones.
    """
    return _base(config), 1.0


def llama3(config: RopeConfig) -> Frequencies:
    """Llama 3.1's scaling: low frequencies are divided, high ones kept, with a smooth ramp
    between.
    """
    inv_freq, factor = _base(config), _number(config, "factor")
    low, high = _number(config, "low_freq_factor"), _number(config, "high_freq_factor")
    wavelength = 2 * math.pi / inv_freq
    original = _number(config, "original_max_position_embeddings")
    smooth = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * inv_freq / factor + smooth * inv_freq, 1.0


def yarn(config: RopeConfig) -> Frequencies:
    """YaRN (arXiv:2309.00071): high frequencies are kept, frequencies below one turn over the
    trained context are interpolated, with a ramp between the two.
    """
    low = _correction_channel(config, _number(config, "beta_fast"))
    high = _correction_channel(config, _number(config, "beta_slow"))
    if _number(config, "truncate"):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.dim - 1)
    channels = torch.arange(config.dim // 2, dtype=torch.float32, device="cpu")
    ramp = ((channels - low) / max(high - low, 0.001)).clamp(0, 1)
    kept = _base(config)
    return kept / _number(config, "factor") * ramp + kept * (1 - ramp), _number(
        config, "attention_factor"
    )


def _correction_channel(config: RopeConfig, turns: float) -> float:
    """The channel that makes ``turns`` full turns over the trained context."""
    original = _number(config, "original_max_position_embeddings")
    return (config.dim * math.log(original / (turns * 2 * math.pi))) / (2 * math.log(config.theta))


def longrope(config: RopeConfig) -> Frequencies:
    """LongRoPE (arXiv:2402.13753): one factor per channel, found by the model's authors by
    search.
    """
    factors = config.args["factors"]
    assert isinstance(factors, tuple)
    inv_freq = _base(config) / torch.tensor(factors, dtype=torch.float32, device="cpu")
    return inv_freq, _number(config, "attention_factor")


def proportional(config: RopeConfig) -> Frequencies:
    """Gemma 4's RoPE of full attention: the first share of the frequencies of a whole head, and
    frequency 0 for the others, which lie between the two halves of the rotated channels.
    """
    share = _number(config, "partial_rotary_factor")
    kept = int(share * config.dim // 2)
    inv_freq = _base(config) / _number(config, "factor")
    inv_freq[kept:] = 0
    return inv_freq, 1.0


def for_context(config: RopeConfig, context_length: int) -> RopeConfig:
    """The scaling for a program with ``context_length`` tokens.

    LongRoPE has one set of factors for contexts within the trained one and another for longer
    ones; see ``rope_limits.factors_for``.

    Raises:
        RecipeError: dynamic scaling beyond the trained context.
    """
    if config.scaling == "dynamic":
        limit = dynamic_limit(int(_number(config, ORIGINAL)))
        if context_length > limit.tokens:
            raise RecipeError(
                f"a context of {context_length} cannot be exported: {limit.why}",
                where="runtime.context_length",
                fix=f"runtime.context_length={limit.tokens}",
            )
    chosen = factors_for(config, context_length)
    if chosen is None:
        return config
    return replace(config, args={**config.args, "factors": config.args[chosen]})
