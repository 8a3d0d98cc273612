"""RoPE of LFM3 by the name that fits what its weights were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_trained(ropes: Mapping[str, Any]) -> dict[str, Any]:
    """``rope_parameters`` of a config: kind of layers -> mapping.

    The published configs name the RoPE of full attention "default" and state a share of a head.
    The publisher's code rotates that share of the channel pairs, with the frequencies of whole
    heads; transformers calls this "proportional", its own default, and ignores the share under
    the published name.
    """
    return {kind: _named(rope) for kind, rope in ropes.items()}


def _named(rope: Any) -> Any:
    if not isinstance(rope, Mapping) or rope.get("partial_rotary_factor") in (None, 1.0):
        return rope
    if rope.get("rope_type", "default") != "default":
        return rope
    return {**rope, "rope_type": "proportional"}
