"""How long a context a model's RoPE allows, and which set of LongRoPE's factors a program has."""

from __future__ import annotations

import pytest

from llm_export.models.families.rope_config import rope_config
from llm_export.models.rope_limits import context_limit, factors_for, remarks

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 4096}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "positions", "tokens", "why"),
    [
        ({}, 2048, 2048, "the model has 2048 positions"),
        (YARN, 32768, 131072, "YaRN reaches 4 x 32768 positions"),
        (YARN, 40960, 131072, "YaRN reaches 4 x 32768 positions"),
        (YARN, 163840, 163840, "the model has 163840 positions"),
        (LONG, 131072, 131072, "the model has 131072 positions"),
        ({"rope_type": "dynamic", "factor": 2.0}, 2048, 2048, "2048"),
    ],
)
def test_the_longest_context(
    facts: dict[str, object], positions: int, tokens: int, why: str
) -> None:
    rope = rope_config("llama", {"rope_theta": 1e6, **facts}, 8, positions)
    found = context_limit(positions, [rope])
    assert found.tokens == tokens
    assert why in found.why


def test_the_factors_of_longrope_follow_the_context() -> None:
    rope = rope_config("phi3", {"rope_theta": 1e4, **LONG}, 8, 131072)
    assert [factors_for(rope, n) for n in (4096, 4097)] == ["short_factor", "long_factor"]
    (short,), (long,) = (remarks(131072, [rope], n) for n in (4096, 8192))
    assert short == (
        "LongRoPE: the program has short_factor, as the published model for texts of up to 4096"
    )
    assert "the program has long_factor, also for texts" in long
    assert long.endswith("takes short_factor: those of up to 4096")
