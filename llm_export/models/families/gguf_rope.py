"""Convert the RoPE metadata and tensors of GGUF files to config.json keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.families.config_values import Unspecified
from llm_export.models.families.gguf_metadata import Metadata

_YARN_KEYS = {
    "attention_factor": "yarn_attn_factor",
    "beta_fast": "yarn_beta_fast",
    "beta_slow": "yarn_beta_slow",
}


def read_rope(m: Metadata, head_dim: int) -> dict[str, object]:
    """Read all keys that concern RoPE.

    Raises:
        CheckpointError: a scaling is not implemented, or the base is not a positive number.
    """
    # 10000 is llama.cpp's default if the key is absent, as in files of Llama 2.
    theta = m.take("rope.freq_base", before=10000.0)
    dim = m.count("rope.dimension_count", before=head_dim)
    if type(theta) not in (int, float) or not theta > 0:
        raise CheckpointError(
            f"{m.architecture}.rope.freq_base={excerpt(repr(theta))} is not a positive number",
            where="the GGUF file's metadata",
        )
    facts: dict[str, object] = {"rope_theta": theta, "rope_scaling": _scaling(m, theta, dim)}
    if dim != head_dim:
        facts["partial_rotary_factor"] = dim / head_dim
    return facts


def _scaling(m: Metadata, theta: float, dim: int) -> dict[str, object] | Unspecified | None:
    factor = m.take("rope.scaling.factor", before=None)
    original = m.take("rope.scaling.original_context_length", before=None)
    # llama.cpp: a factor without a type means linear scaling.
    kind = m.take("rope.scaling.type", before="linear" if factor else "none")
    if m.has("rope_factors_long.weight"):
        return _longrope(m, original)
    if m.has("rope_freqs.weight"):
        return _llama3(m.values("rope_freqs.weight"), theta, dim)
    if kind == "none" or (kind == "linear" and factor == 1):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        return _yarn(m, factor, original)
    raise CheckpointError(
        f"the RoPE scaling '{kind}' of GGUF files is not implemented",
        where=f"{m.architecture}.rope.scaling.type",
        fix="implemented: none, linear, yarn, and those that are stored as tables of factors",
    )


def _longrope(m: Metadata, original: int | None) -> dict[str, object]:
    facts: dict[str, object] = {
        "rope_type": "longrope",
        "short_factor": m.values("rope_factors_short.weight"),
        "long_factor": m.values("rope_factors_long.weight"),
        "original_max_position_embeddings": original,
    }
    attention = m.take("rope.scaling.attn_factor", before=None)
    if attention is not None:
        facts["attention_factor"] = attention
    return facts


def _yarn(m: Metadata, factor: float, original: int | None) -> dict[str, object]:
    m.expect("rope.scaling.yarn_ext_factor", 1.0)
    facts: dict[str, object] = {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
    }
    for key, theirs in _YARN_KEYS.items():
        value = m.take(f"rope.scaling.{theirs}", before=None)
        if value is not None:
            facts[key] = value
    return facts


def _llama3(
    table: Sequence[float], theta: float, dim: int
) -> dict[str, object] | Unspecified | None:
    if all(x == 1 for x in table):
        return None
    found = llama3_from_table(table, theta, dim)
    if found is not None:
        return found
    return Unspecified(
        "the file has llama3 RoPE scaling as a table of factors, from which its numbers cannot "
        "be had",
        "{rope_type: llama3, factor: 8, low_freq_factor: 1, high_freq_factor: 4, "
        "original_max_position_embeddings: 8192}",
        lambda value: isinstance(value, Mapping) and _gives(value, table, theta, dim),
    )


def llama3_from_table(table: Sequence[float], theta: float, dim: int) -> dict[str, object] | None:
    """Recover the parameters of llama3 scaling from its factors for each pair of channels.

    Between the two bounds, ``(1/w - 1/factor) / (1 - 1/factor)`` is linear in the turns that a
    pair makes per position; slope and intercept determine the bounds. Only their ratio to the
    trained context matters, so the lower bound is set to 1, as in all Llama models.

    Returns:
        None if fewer than two pairs are between the bounds, or these are not such factors.
    """
    factor = max(table)
    if factor <= 1:
        return None
    turns = [theta ** (-2 * i / dim) / (2 * math.pi) for i in range(dim // 2)]
    smooth = [(1 / w - 1 / factor) / (1 - 1 / factor) for w in table]
    between = [(x, s) for x, s in zip(turns, smooth, strict=False) if 1e-3 < s < 1 - 1e-3]
    if len(between) < 2:
        return None
    (x1, s1), (x2, s2) = between[0], between[-1]
    slope = (s2 - s1) / (x2 - x1)
    offset = slope * x1 - s1
    if offset <= 0:
        return None
    found = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": round(1 + 1 / offset, 3),
        "original_max_position_embeddings": round(slope / offset),
    }
    return found if _gives(found, table, theta, dim) else None


def _gives(facts: Mapping[str, Any], table: Sequence[float], theta: float, dim: int) -> bool:
    """Whether the scaling with these parameters reproduces the factors of ``table``."""
    if facts.get("rope_type", facts.get("type")) != "llama3" or len(table) != dim // 2:
        return False
    try:
        factor, low = float(facts["factor"]), float(facts["low_freq_factor"])
        high = float(facts["high_freq_factor"])
        original = float(facts["original_max_position_embeddings"])
    except (KeyError, TypeError, ValueError):
        return False
    for i, stored in enumerate(table):
        turns = original * theta ** (-2 * i / dim) / (2 * math.pi)
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        if abs(stored * ((1 - smooth) / factor + smooth) - 1) > 1e-4:
            return False
    return True
