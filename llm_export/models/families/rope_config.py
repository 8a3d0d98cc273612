"""The RoPE settings of a config.json, in all their formats.

transformers 5 writes one mapping ``rope_parameters``; earlier versions write ``rope_theta``, an
optional ``rope_scaling`` and sometimes ``partial_rotary_factor``. Where a config has both, as after
an edit from a model card, the order of precedence is that of transformers 5
(``RotaryEmbeddingConfigMixin``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import RopeConfig
from llm_export.models.families.config_values import ConfigReader

Args = dict[str, float | tuple[float, ...]]
Own = Callable[[dict[str, Any]], dict[str, Any]]

# Defaults of the YaRN paper, which configs leave out (arXiv:2309.00071, section 3.2).
_BETA_FAST, _BETA_SLOW = 32.0, 1.0
_LEGACY = {"default": "none", "su": "longrope"}
# Scalings whose frequencies are those of a whole head, whatever share of it is rotated.
_OF_WHOLE_HEADS = ("proportional",)


def read_rope(
    c: ConfigReader, head_dim: int, max_positions: int, *, theta: float = 10000.0,
    partial: float | None = None, original: float | None = None,
    absent: Mapping[str, Any] | None = None, inert: Collection[str] = (), own: Own = dict,
) -> RopeConfig:  # fmt: skip
    """Take all keys that concern RoPE.

    Args:
        theta, original: the format's defaults.
        partial: the default share of a head that is rotated; None: this family rotates whole
            heads, and transformers ignores the key.
        absent: the mapping of a config that has none.
        inert: keys of the mapping without effect on text.
        own: takes the keys of this family alone out of the mapping that applies.

    Raises:
        CheckpointError: a scaling or one of its keys is not implemented, or two keys contradict
            each other.
    """
    new, old = c.take("rope_parameters", before=None), c.take("rope_scaling", before=None)
    new = absent if new is None else new
    outside: dict[str, float] = {}
    for key, default in (("rope_theta", theta), ("partial_rotary_factor", partial or 1.0)):
        stated = c.take(key, before=None)
        _require_kept(key, new, old, stated, default)
        outside[key] = default if stated is None else stated
    trained = c.take("original_max_position_embeddings", before=None)
    facts = {**outside, **rope_mapping(new, old)}
    facts = own({key: value for key, value in facts.items() if key not in inert})
    if partial is None:
        require_whole_heads(c.family, facts)
    return rope_config(
        c.family, facts, head_dim, max_positions,
        original=original if trained is None else trained,
    )  # fmt: skip


def require_whole_heads(family: str, facts: Mapping[str, Any]) -> None:
    """Refuse a share of rotated channels that transformers ignores for this family."""
    share = facts.get("partial_rotary_factor", 1.0)
    if share != 1.0:
        raise CheckpointError(
            f"partial_rotary_factor={share!r}, and models of family '{family}' rotate whole heads",
            where="model.config or the checkpoint's config.json",
            fix="remove the key, or state the family that the model is of (model_type)",
        )


def rope_mapping(new: Any, old: Any) -> dict[str, Any]:
    """The mapping that applies: a ``rope_scaling`` takes the place of all ``rope_parameters``."""
    for key, value in (("rope_parameters", new), ("rope_scaling", old)):
        if value is not None and not isinstance(value, Mapping):
            raise CheckpointError(f"config key {key}={value!r} is not a mapping",
                                  where="model.config")  # fmt: skip
    return {key: value for key, value in dict(old or new or {}).items() if value is not None}


def _require_kept(key: str, new: Any, old: Any, stated: Any, default: float) -> None:
    """Refuse a ``rope_scaling`` that would drop a value which only ``rope_parameters`` states."""
    if not old or not isinstance(new, Mapping) or stated is not None:
        return
    lost = new.get(key)
    if lost is not None and key not in old and lost != default:
        raise CheckpointError(
            f"rope_scaling takes the place of rope_parameters, and only the latter states "
            f"{key}={lost!r}",
            where="config keys rope_scaling and rope_parameters",
            fix=f"put {key} into rope_scaling, or remove one of the two keys",
        )


def rope_config(
    family: str, facts: Mapping[str, Any], head_dim: int, max_positions: int, *,
    original: float | None = None,
) -> RopeConfig:  # fmt: skip
    """A ``rope_parameters`` mapping -> RopeConfig; an unknown key is an error.

    Args:
        original: the config's own original_max_position_embeddings, which precedes the mapping's.
    """
    left = dict(facts)
    theta = left.pop("rope_theta", None)
    if not isinstance(theta, int | float) or isinstance(theta, bool) or not theta > 0:
        raise CheckpointError(f"config key rope_theta={theta!r} is not a positive number",
                              where="model.config")  # fmt: skip
    share = float(left.pop("partial_rotary_factor", None) or 1.0)
    kind = left.pop("rope_type", None) or left.pop("type", None) or "default"
    left.pop("type", None)
    kind = _LEGACY.get(kind, kind)
    if kind not in _READERS:
        raise CheckpointError(
            f"family '{family}' does not implement the RoPE scaling {kind!r}",
            where="config key rope_scaling",
            fix=f"implemented: {', '.join(_READERS)}",
        )
    trained = original or left.get("original_max_position_embeddings") or max_positions
    left.pop("original_max_position_embeddings", None)
    needed, optional, read = _READERS[kind]
    if kind == "llama3":
        left["original_max_position_embeddings"] = trained
    if kind in _OF_WHOLE_HEADS:
        left["partial_rotary_factor"], share = share, 1.0
    if not set(needed) <= set(left) or not set(left) <= {*needed, *optional}:
        raise CheckpointError(
            f"RoPE scaling '{kind}' needs exactly {sorted(needed)}"
            + (f" and may have {sorted(optional)}" if optional else "")
            + f", got {sorted(left)}",
            where="config key rope_scaling",
        )
    return RopeConfig(float(theta), int(head_dim * share), kind, read(left, trained, max_positions))


def _none(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    return {}


def _plain(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    return {key: float(value) for key, value in facts.items()}


def _proportional(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    return {"factor": 1.0, **_plain(facts, trained, positions)}


def _dynamic(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    # The formula uses the model's original limit, whatever else the config says.
    return {"factor": float(facts["factor"]), "original_max_position_embeddings": float(positions)}


def yarn_mscale(scale: float, mscale: float = 1.0) -> float:
    """The attention temperature of YaRN, equation 22."""
    return 1.0 if scale <= 1 else 0.1 * mscale * math.log(scale) + 1.0


def _yarn(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    factor = float(facts.get("factor") or positions / trained)
    attention = facts.get("attention_factor")
    if attention is None:
        one, all_dim = facts.get("mscale"), facts.get("mscale_all_dim")
        attention = (
            yarn_mscale(factor, one) / yarn_mscale(factor, all_dim)
            if one and all_dim
            else yarn_mscale(factor)
        )
    return {
        "factor": factor,
        "attention_factor": float(attention),
        "original_max_position_embeddings": float(trained),
        "beta_fast": float(facts.get("beta_fast") or _BETA_FAST),
        "beta_slow": float(facts.get("beta_slow") or _BETA_SLOW),
        "truncate": float(facts.get("truncate", True)),
    }


def _longrope(facts: Mapping[str, Any], trained: float, positions: int) -> Args:
    factor = float(facts.get("factor") or positions / trained)
    attention = facts.get("attention_factor")
    if attention is None:
        grown = math.log(factor) / math.log(trained) if factor > 1 else 0.0
        attention = math.sqrt(1 + grown)
    return {
        "short_factor": tuple(float(x) for x in facts["short_factor"]),
        "long_factor": tuple(float(x) for x in facts["long_factor"]),
        "attention_factor": float(attention),
        "original_max_position_embeddings": float(trained),
    }


# scaling -> keys it needs, keys it may have, reader
_READERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Any]] = {
    "none": ((), (), _none),
    "linear": (("factor",), (), _plain),
    "dynamic": (("factor",), (), _dynamic),
    "llama3": (
        ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
        (),
        _plain,
    ),
    "yarn": (
        ("factor",),
        ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
        _yarn,
    ),
    "longrope": (("short_factor", "long_factor"), ("factor", "attention_factor"), _longrope),
    "proportional": (("partial_rotary_factor",), ("factor",), _proportional),
}
