"""The shipped T5 models: as many parameters as the published weights; configs that are refused."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

from llm_export.errors import CheckpointError
from llm_export.models.programs.definition import build_on_meta
from llm_export.models.seq2seq.t5_family import FAMILY, options

# Parameters of the published weights; the head of Flan-T5 is a matrix of its own.
PUBLISHED = {"t5_small": 60_506_624, "flan_t5_small": 76_961_152, "flan_t5_base": 247_577_856}


def model_option(name: str) -> dict[str, Any]:
    text = resources.files("llm_export.conf").joinpath(f"model/{name}.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["model"]
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_has_the_parameters_of_the_published_weights(name: str) -> None:
    config = FAMILY.from_hf(model_option(name)["config"])
    model = build_on_meta(FAMILY, config, 512)
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]
    assert config.scaled == config.tied == (name == "t5_small")


def test_transformers_5_writes_an_untied_head_as_an_unscaled_one() -> None:
    stated = {**model_option("flan_t5_small")["config"], "tie_word_embeddings": True}
    assert FAMILY.from_hf({**stated, "scale_decoder_outputs": False}).tied is False


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"feed_forward_proj": "gated-sine"}, "does not implement feed_forward_proj='gated-sine'"),
        ({"relative_attention_num_buckets": 7}, "an even number of buckets"),
        ({"eos_token_id": 99999}, "eos id 99999 is not below vocab_size=32128"),
        ({"eos_token_id": "x"}, "config key eos_token_id='x' is no token id"),
        ({"is_encoder_decoder": False}, "does not implement is_encoder_decoder=False"),
        ({"d_modle": 1}, "does not know the config key"),
        ({"d_model": None}, "d_model"),
    ],
)
def test_configs_that_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        FAMILY.from_hf({**model_option("t5_small")["config"], **changes})


def test_prefixes_come_from_the_checkpoint() -> None:
    class Opened:
        def config(self) -> dict[str, Any]:
            found = {"summarization": {"prefix": "summarize: "}, "other": {"max_length": 3}}
            return {"task_specific_params": found}

    assert options(Opened()) == {"prefixes": {"summarization": "summarize: "}}  # type: ignore[arg-type]
