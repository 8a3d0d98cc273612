"""Options of the task against a model's facts, and configs that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_export.errors import CheckpointError, RecipeError
from llm_export.models.encoders import pooled, pooling
from llm_export.models.encoders.config import ACTIVATIONS, POOLINGS
from llm_export.models.encoders.options import EmbedOptions, EmbedPlan, plan_of
from llm_export.models.programs.families import TASK_FAMILIES


def plan(family: str = "bert", **options: Any) -> EmbedPlan:
    found = TASK_FAMILIES.get(family)
    return plan_of(EmbedOptions(**{"pooling": "mean", **options}), found.from_hf(found.tiny), 128)


def test_names_are_those_of_the_functions() -> None:
    assert (tuple(pooling.FUNCTIONS), tuple(pooled.FUNCTIONS)) == (POOLINGS, ACTIVATIONS)


def test_what_options_leave_open_is_the_models() -> None:
    made = plan(max_length=100)
    assert (made.dimensions, made.matryoshka, made.longest, made.lengths) == (64, (64,), 100, ())
    made = plan("gemma3_text", matryoshka=[24, 48, 12], dimensions=24, lengths=[64, 16])
    assert (made.dimensions, made.matryoshka) == (24, (24, 12))
    assert (made.longest, made.lengths) == (64, (16, 64))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": None}, "neither the checkpoint nor the recipe says how"),
        ({"pooling": "median"}, "there is no pooling 'median'"),
        ({"pooling": "mean+median"}, "there is no pooling 'median'"),
        ({"dimensions": 32}, "of 64 channels were not trained to be cut"),
        ({"dimensions": 5, "matryoshka": [32]}, "may have 64, 32 channels"),
        ({"matryoshka": [65]}, "matryoshka has 65"),
        ({"max_batch": 0}, "max_batch=0 is no number of texts"),
        ({"max_length": -1}, "max_length=-1 is no number of tokens"),
        ({"similarity": "hamming"}, "there is no similarity 'hamming'"),
        ({"lengths": [8, 200]}, "lengths=[8, 200]: they must be different, and from 1 to"),
        ({"lengths": []}, "lengths=[]"),
        ({"lengths": [8, 8]}, "lengths=[8, 8]"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(**options)
    assert said in str(caught.value)
    assert caught.value.fix


def test_the_first_dense_layer_reads_what_pooling_gives() -> None:
    with pytest.raises(RecipeError, match="gives 128 channels, and the first dense layer reads 64"):
        plan("gemma3_text", pooling="cls+mean")


DENSE = {"in_features": 64, "out_features": 80, "bias": False, "activation": "identity"}


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("bert", {"num_attention_heads": 5}, "hidden_size=64 is not a multiple"),
        ("bert", {"position_embedding_type": "relative_key"}, "'relative_key'"),
        ("bert", {"hidden_act": "mish"}, "hidden_act='mish'"),
        ("bert", {"extra": 1}, "does not know the config key(s) extra"),
        ("modernbert", {"num_attention_heads": 5}, "hidden_size=64 is not a multiple"),
        ("modernbert", {"layer_types": ["full_attention", "odd", "odd"]}, "layer_types"),
        ("gemma3_text", {"use_bidirectional_attention": "all"}, "='all' is not implemented"),
        ("qwen3", {"hidden_act": None}, "hidden_act=None"),
        ("bert", {"dense": 1}, "dense=1 is no list of layers"),
        ("bert", {"dense": [1]}, "1 is no dense layer"),
        ("bert", {"dense": [{**DENSE, "gain": 1}]}, "a dense layer has no 'gain'"),
        ("bert", {"dense": [{"bias": True}]}, "a dense layer lacks in_features"),
        ("bert", {"dense": [{**DENSE, "out_features": 0}]}, "out_features=0 is not a positive"),
        ("bert", {"dense": [{**DENSE, "activation": "mish"}]}, "activation='mish'"),
        ("bert", {"dense": [DENSE, DENSE]}, "reads 64 channels, and the one before it gives 80"),
    ],
)
def test_configs_that_are_not_implemented_are_refused(
    family: str, changes: dict[str, Any], said: str
) -> None:
    found = TASK_FAMILIES.get(family)
    with pytest.raises(CheckpointError) as caught:
        found.from_hf({**found.tiny, **changes})
    assert said in str(caught.value)
