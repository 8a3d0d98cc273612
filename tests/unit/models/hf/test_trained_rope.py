"""LFM3's RoPE, whose published name transformers reads as another."""

from __future__ import annotations

from typing import Any

import pytest
from family_models import settings
from transformers.models.lfm3.modeling_lfm3 import Lfm3RotaryEmbedding

from llm_export.models.families import FAMILIES
from llm_export.models.families.lfm3_rope import as_trained
from llm_export.models.hf.config import transformers_config

LOCAL = {"rope_type": "default", "rope_theta": 10000}
FULL = {"rope_theta": 1e6, "partial_rotary_factor": 0.5}
PUBLISHED = {"full_attention": {**FULL, "rope_type": "default"}, "sliding_attention": LOCAL}
CONVERTED = {"full_attention": {**FULL, "rope_type": "proportional"}, "sliding_attention": LOCAL}


def config(**changes: Any) -> dict[str, Any]:
    made = settings("lfm3", "all kinds of layers")
    kept = {key: value for key, value in made.items() if value is not None}
    return {**kept, "model_type": "lfm3", "head_dim": 16, **changes}


def test_a_share_of_the_pairs_is_rotated_under_either_name() -> None:
    published, converted, left_out = (
        FAMILIES.get("lfm3").read(config(rope_parameters=ropes))
        for ropes in (PUBLISHED, CONVERTED, None)
    )
    assert published == converted == left_out
    assert [(rope.dim, rope.scaling) for rope in published.ropes] == [
        (16, "none"), (16, "proportional"),
    ]  # fmt: skip


def test_transformers_rotates_the_same_share() -> None:
    """Half of the frequencies are 0; without the correction none is."""
    model = Lfm3RotaryEmbedding(transformers_config(config(rope_parameters=PUBLISHED)))
    rotated = {name: int(buffer.count_nonzero()) for name, buffer in model.named_buffers()}
    assert rotated["full_attention_inv_freq"] == 4
    assert rotated["sliding_attention_inv_freq"] == 8


@pytest.mark.parametrize("rope", [
    LOCAL, {**LOCAL, "partial_rotary_factor": 1.0}, {**FULL, "rope_type": "yarn"}, None,
])  # fmt: skip
def test_nothing_else_is_renamed(rope: Any) -> None:
    assert as_trained({"full_attention": rope}) == {"full_attention": rope}
