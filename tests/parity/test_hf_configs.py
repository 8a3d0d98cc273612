"""Configs that the generic tier cannot export, and what it says of them."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import ModelConfig
from llm_export.errors import MissingDependencyError
from llm_export.models.hf.config import require_transformers

SMALL = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "nonesuch"}, "does not know the model type 'nonesuch'"),
        ({"model_type": {"a": 1}}, "does not know the model type '{'a': 1}'"),
        ({"model_type": ["llama"]}, "does not know the model type"),
        ({"model_type": "nonesuch", "auto_map": {}}, "code of its own, which is never run"),
        (
            {"model_type": "bert"},
            "this BertLMHeadModel is an encoder, whose tokens see those after them",
        ),
        ({"model_type": "deepseek_v4", "num_hidden_layers": 1}, "does not run with a cache of"),
        ({"model_type": "t5"}, "'t5' is no decoder-only language model"),
        (
            {"model_type": "rwkv", "num_hidden_layers": 1, "hidden_size": 64},
            "keeps neither keys and values nor",
        ),
        ({"model_type": "zaya", **SMALL}, "a recurrence that this project has no form of"),
        ({"model_type": "minimax", **SMALL}, "does not run with a cache of keys"),
        ({"model_type": "opt", "hidden_size": "many"}, "not a valid 'opt' config"),
        ({"model_type": "opt", "quantization_config": {"bits": 4}}, "quantized already"),
        ({"model_type": "gpt2", "n_positions": 32}, "64 is too long: the model has 32 positions"),
        ({"model_type": "mpt", "max_seq_len": 32}, "64 is too long: the model has 32 positions"),
    ],
)
def test_configs_that_cannot_be_exported(config: dict[str, Any], words: str) -> None:
    base = api.compose_recipe(
        None, ["model=tiny", "runtime.context_length=64", "runtime.prefill_length=32"]
    ).recipe
    model = ModelConfig(name="m", definition="hf", family="x", config=config)
    problems = find_problems(replace(base, model=model))
    assert len(problems) == 1
    assert words in problems[0].what


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MissingDependencyError, match="which is not installed") as caught:
        require_transformers()
    assert caught.value.fix == 'pip install "llm_export[hf]"'
    monkeypatch.setattr(metadata, "version", lambda name: "4.57.1")
    with pytest.raises(MissingDependencyError, match=r"which is 4\.57\.1"):
        require_transformers()
