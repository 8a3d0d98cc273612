"""What a config.json leaves out, and what has no effect, is read as transformers reads it."""

from __future__ import annotations

from typing import Any

import pytest
from family_models import MEMBERS, settings
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoConfig, GenerationConfig, PreTrainedConfig

from llm_export.errors import CheckpointError, LlmExportError
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.inert_keys import INERT, is_inert
from llm_export.models.families.rope_config import read_rope

LAYERS = 30  # more than the 28 of max_window_layers


def names_its_layers(family: str) -> bool:
    """Whether kinds of layers are under another key, or follow from one."""
    config = CONFIG_MAPPING[family]
    follows = isinstance(getattr(config, "layer_types", None), property)
    return follows or "layer_types" in config.attribute_map


@pytest.mark.parametrize("family", sorted(MEMBERS))
def test_absent_and_null_keys(family: str) -> None:
    variant = sorted(MEMBERS[family])[0]
    sizes = {**settings(family, variant), "num_hidden_layers": LAYERS}
    if not names_its_layers(family):
        sizes["layer_types"] = None
    full = AutoConfig.for_model(family, **sizes).to_dict()
    for key in sorted(set(full) - {"model_type", "layer_types"}):
        absent = {k: v for k, v in full.items() if k not in (key, "layer_types")}
        for less in (absent, {**absent, key: None}):
            try:
                ours = FAMILIES.get(family).read(less)
            except LlmExportError:
                continue
            try:
                whole = CONFIG_MAPPING[family].from_dict(dict(less)).to_dict()
            except (StrictDataclassError, ArithmeticError, AttributeError, KeyError, TypeError,
                    ValueError):  # fmt: skip
                continue  # no config to transformers
            assert ours == FAMILIES.get(family).read(whole), key


def test_keys_of_the_library_are_inert() -> None:
    bookkeeping = PreTrainedConfig().to_dict()
    assert [k for k, v in bookkeeping.items() if not is_inert(k, v)] == []
    assert set(GenerationConfig._get_default_generation_params()) - INERT == set()


@pytest.mark.parametrize("key", ["is_encoder_decoder", "add_cross_attention"])
def test_a_key_with_an_effect_is_not(key: str) -> None:
    assert is_inert(key, False)
    assert not is_inert(key, True)


def rope(**keys: Any) -> Any:
    return read_rope(ConfigReader("llama", keys), 16, 64)


def test_rope_scaling_takes_the_place_of_rope_parameters() -> None:
    new = {"rope_type": "default", "rope_theta": 1e6}
    old = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}
    assert rope(rope_parameters=new, rope_scaling=old) == rope(rope_parameters=old)
    assert rope(rope_parameters=new, rope_scaling=None).scaling == "none"
    with pytest.raises(CheckpointError, match="only the latter states rope_theta") as caught:
        rope(rope_parameters=new, rope_scaling={"rope_type": "linear", "factor": 2.0})
    assert "rope_scaling and rope_parameters" in str(caught.value)


def test_the_original_length_outside_precedes_the_one_inside() -> None:
    inside = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}
    found = rope(rope_scaling=inside, original_max_position_embeddings=32)
    assert found.args["original_max_position_embeddings"] == 32
