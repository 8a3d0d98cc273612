"""Mamba-2 mixers in Hugging Face checkpoints: config keys, tensor names, and folded factors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import DecoderConfig, Mamba2Config, NormConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.conv_names import taps
from llm_export.models.families.keymap import Split
from llm_export.models.families.layers import known_kinds

if TYPE_CHECKING:
    from torch import Tensor

_UNLIMITED = (0.0, math.inf)
_WRITTEN = {"linear_attention": "mamba", "full_attention": "attention"}
"""Names of kinds of layers in transformers 5 -> those in the published configs."""


def read_mixer(
    c: ConfigReader, inner: int, norm: NormConfig, activation: str, **particulars: Any
) -> Mamba2Config:
    """The mixer of a config with keys ``mamba_*``; its output is normed apart in each group.

    Args:
        inner: channels of all heads together.
        particulars: further fields of Mamba2Config.

    Raises:
        CheckpointError: the sizes do not fit each other.
    """
    heads, groups = c.count("mamba_n_heads"), c.count("mamba_n_groups", before=1)
    stated = c.take("mamba_d_head", before="auto")
    head_dim = inner // heads if stated == "auto" else c.counted("mamba_d_head", stated)
    require_inner(heads, head_dim, inner)
    bias = c.flag("mamba_proj_bias", before=False)
    c.take_unused("mamba_chunk_size")
    usual: dict[str, Any] = {"gate_norm": norm, "norm_groups": groups, "out_bias": bias}
    return Mamba2Config(
        heads, head_dim, c.count("mamba_d_state"), groups, c.count("mamba_d_conv", before=4),
        conv_bias=c.flag("mamba_conv_bias", before=True), bias=bias,
        step_limits=step_limits(c), activation=activation, **(usual | particulars),
    )  # fmt: skip


def require_inner(heads: int, head_dim: int, inner: int) -> None:
    """Raise CheckpointError if the heads do not make up the inner size."""
    if heads * head_dim != inner:
        raise CheckpointError(
            f"{heads} Mamba heads of {head_dim} channels do not make up an inner size of {inner}",
            where="model.config",
        )


def step_limits(c: ConfigReader) -> tuple[float, float]:
    """``time_step_limit``; transformers 5 writes infinity as a mapping."""
    stated = c.take("time_step_limit", before=None)
    if stated is None:
        return _UNLIMITED
    both = [float(x["__float__"] if isinstance(x, Mapping) else x) for x in stated]
    if len(both) != 2 or not 0 <= both[0] < both[1]:
        raise CheckpointError(
            f"config key time_step_limit={excerpt(repr(stated))} is no range of positive numbers",
            where="model.config",
        )
    return both[0], both[1]


def layer_kinds(
    c: ConfigReader, key: str, stated: Any, count: int, known: tuple[str, ...]
) -> list[str]:
    """The kind of each layer under its name in published configs (mamba, attention, ...).

    Args:
        stated: the value of ``key``; None: all have a mixer.

    Raises:
        CheckpointError: a kind is unknown, or there are fewer than layers.
    """
    if stated is None:
        return ["mamba"] * count
    kinds = [_WRITTEN.get(kind, kind) for kind in stated]
    return known_kinds(c, key, kinds, count, known)


def names(theirs: str, ours: str) -> tuple[list[tuple[str, str]], list[Split]]:
    """Pairs of names and splits of a mixer.

    Args:
        theirs, ours: templates of the module in the checkpoint, and in the decoder.
    """
    pairs = [(f"{theirs}.{x}", f"{ours}.{x}") for x in ("A_log", "D", "dt_bias", "norm.weight")]
    pairs += [
        (f"{theirs}.out_proj.{{leaf}}", f"{ours}.out.{{leaf}}"),
        (f"{theirs}.conv1d.bias", f"{ours}.conv.bias"),
    ]
    splits = [
        Split(
            f"{theirs}.in_proj.{{leaf}}",
            tuple(f"{ours}.{part}.{{leaf}}" for part in ("gate", "xbc", "dt")),
        ),
        taps(f"{theirs}.conv1d.weight", f"{ours}.conv.weight"),
    ]
    return pairs, splits


def folded(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Multiply a weight or bias by the factors that the model applies to its output."""
    return _times(name, tensor, config, 1)


def unfolded(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The inverse of ``folded``."""
    return _times(name, tensor, config, -1)


def _times(name: str, tensor: Tensor, config: DecoderConfig, power: int) -> Tensor:
    factors = _factors(name, config)
    if factors is None:
        return tensor
    import torch

    rows = torch.cat([torch.full((count,), value**power) for count, value in factors])
    return tensor * rows.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1))


def _factors(name: str, config: DecoderConfig) -> list[tuple[int, float]] | None:
    """(rows, factor) of the parts of a parameter, in order; None if it has none."""
    place, _, part = name.partition(".mixer.")
    module, _, leaf = part.rpartition(".")
    if leaf not in ("weight", "bias") or not place.startswith("layers."):
        return None
    mixer = config.layers[int(place.removeprefix("layers."))].mixer
    if not isinstance(mixer, Mamba2Config) or mixer.scales is None:
        return None
    gate, x, b, c, dt = mixer.scales
    shared = mixer.groups * mixer.state
    return {
        "gate": [(mixer.inner, gate)],
        "xbc": [(mixer.inner, x), (shared, b), (shared, c)],
        "dt": [(mixer.heads, dt)],
    }.get(module)
