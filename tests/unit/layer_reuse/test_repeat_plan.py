"""Which layers are lowered, and what repeats them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_export import api
from llm_export.layer_reuse.plan import LayersDiffer, kind_of, only_kept, plan_layers, shortened
from llm_export.models.load_model import load_model


def test_layers_of_one_kind_need_three() -> None:
    kept, origin = shortened(["a"] * 30)
    assert len(kept) == 3
    assert origin == (0, 1, *[2] * 28)


def test_a_pattern_keeps_every_transition() -> None:
    kinds = (["local"] * 5 + ["global"]) * 4 + ["local"] * 2
    kept, _ = shortened(kinds)
    assert [kinds[i][0] for i in kept] == list("lllgll")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_every_layer_repeats_one_with_the_same_two_before_it(kinds: list[str]) -> None:
    kept, origin = shortened(kinds)
    assert list(kept) == sorted(set(kept))
    assert kept[:2] == tuple(range(len(kinds)))[:2]
    for layer, place in enumerate(origin):
        assert kinds[kept[place]] == kinds[layer]
        if layer >= 2:
            assert place >= 2
            assert [kinds[i] for i in kept[place - 2 : place]] == kinds[layer - 2 : layer]
    # What follows the layers sees the last two of them.
    assert [kinds[i] for i in kept[-2:]] == kinds[-2:]


def _model(*overrides: str) -> Any:
    recipe = api.compose_recipe(None, ["model=tiny", *overrides]).recipe
    return load_model(recipe, attention="plain", context_length=16, all_logits=True).model


def test_a_model_of_few_layers_is_lowered_whole() -> None:
    with pytest.raises(LayersDiffer, match="its 2 layers do not repeat often enough"):
        plan_layers(_model())


def test_a_model_that_names_no_layers_is_lowered_whole() -> None:
    model = _model("model.config.num_hidden_layers=6")
    model.repeated_layers = ""
    with pytest.raises(LayersDiffer, match="does not say which of its modules are its layers"):
        plan_layers(model)


def test_layers_with_other_shapes_or_dtypes_are_other_kinds() -> None:
    model = _model("model.config.num_hidden_layers=12")
    assert len({kind_of(layer) for layer in model.layers}) == 1
    model.layers[3].ffn_norm.double()
    assert len({kind_of(layer) for layer in model.layers}) == 2
    assert 3 in plan_layers(model).kept


def test_the_whole_model_is_back_when_the_few_are_captured() -> None:
    model = _model("model.config.num_hidden_layers=6")
    before = list(model.layers)
    plan = plan_layers(model)

    def fails_inside() -> None:
        with only_kept(model, plan):
            assert [id(x) for x in model.layers] == [id(before[i]) for i in plan.kept]
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails_inside()
    assert [id(x) for x in model.layers] == [id(x) for x in before]
