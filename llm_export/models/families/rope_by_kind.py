"""RoPE settings of models whose sliding-window layers have a RoPE of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import RopeConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.rope_config import require_whole_heads, rope_config, rope_mapping

_LAYER_KINDS = ("sliding_attention", "full_attention")


def read_local_and_global(
    c: ConfigReader, head_dim: int, positions: int, *, local: float, full: float = 1e6
) -> tuple[RopeConfig, RopeConfig]:
    """RoPE of sliding-window layers, then of full-attention layers.

    ``rope_parameters`` has a mapping for each kind. In older configs ``rope_theta`` and
    ``rope_scaling`` are those of the full-attention layers.

    Args:
        local, full: the bases of configs that state none.

    Raises:
        CheckpointError: a mapping is missing, or of a scaling that is not implemented.
    """
    stated = c.take("rope_parameters", before=None)
    stated = dict.fromkeys(_LAYER_KINDS) if stated is None else stated
    theta = c.take("rope_theta", before=None)
    scaling = rope_mapping(None, c.take("rope_scaling", before=None))
    if not isinstance(stated, Mapping) or set(stated) != set(_LAYER_KINDS):
        raise CheckpointError(
            f"family '{c.family}' needs a RoPE for sliding_attention and for full_attention, got "
            f"{stated!r}",
            where="config key rope_parameters",
        )
    facts: list[dict[str, Any]] = [rope_mapping(stated[kind], None) for kind in _LAYER_KINDS]
    facts[1].update(scaling)
    for mapping, default in zip(facts, (local, full if theta is None else theta), strict=True):
        mapping.setdefault("rope_theta", default)
        require_whole_heads(c.family, mapping)
    first, second = (rope_config(c.family, mapping, head_dim, positions) for mapping in facts)
    return first, second
