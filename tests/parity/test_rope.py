"""RoPE scalings against transformers, and the forms in which configs state them."""

from __future__ import annotations

from typing import Any

import hf_models
import pytest
import torch
from family_models import LLAMA3, LONG, YARN, long_factors

from llm_export.errors import CheckpointError, RecipeError
from llm_export.models.components.registry import ROPE_SCALINGS
from llm_export.models.components.rope import inverse_frequencies
from llm_export.models.components.rope_scaling import for_context
from llm_export.models.families.rope_config import _READERS, rope_config

LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}


def test_every_scaling_that_is_read_can_be_computed() -> None:
    assert set(_READERS) == set(ROPE_SCALINGS)


@pytest.mark.parametrize(
    "facts",
    [
        {"rope_type": "default", "rope_theta": 1e4}, LINEAR, LLAMA3, YARN,
        {**YARN, "truncate": False, "beta_fast": 24.0, "beta_slow": 2.0},
        {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3},
        {**LONG, **long_factors(32)},
    ],
)  # fmt: skip
def test_frequencies_are_those_of_transformers(facts: dict[str, Any]) -> None:
    model = hf_models.llama(rope_parameters=facts, head_dim=64)
    config = for_context(rope_config("llama", facts, 64, 512), 16)
    theirs = model.model.rotary_emb
    ours, factor = inverse_frequencies(config)
    assert torch.allclose(ours, theirs.inv_freq, rtol=1e-6)
    assert factor == pytest.approx(theirs.attention_scaling)


def test_longrope_chooses_its_factors_by_the_context() -> None:
    config = rope_config("phi3", {**LONG, **long_factors(4)}, 8, 512)
    short, long = (for_context(config, n).args["factors"] for n in (16, 17))
    assert short == config.args["short_factor"]
    assert long == config.args["long_factor"]


def test_dynamic_scaling_is_refused_past_the_trained_context() -> None:
    facts = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    config = rope_config("llama", facts, 8, 512)
    assert for_context(config, 512) == config
    with pytest.raises(
        RecipeError, match="a context of 513 cannot be exported: dynamic RoPE scaling"
    ):
        for_context(config, 513)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"rope_type": "spiral", "rope_theta": 1e4}, "implement the RoPE scaling 'spiral'"),
        ({"rope_type": "linear", "rope_theta": 1e4}, "needs exactly ['factor'], got []"),
        ({**YARN, "swirl": 1}, "and may have ['attention_factor'"),
        ({"rope_type": "default", "rope_theta": -1}, "rope_theta=-1 is not a positive number"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        rope_config("llama", facts, 8, 512)
    assert words in str(caught.value)
