"""Which layers are lowered, and what repeats them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llm_export import api
from llm_export.layer_reuse.plan import LayersDiffer, kind_of, only_kept, plan_layers, shortened
from llm_export.models.build import build_on_meta
from llm_export.models.families import FAMILIES
from llm_export.models.load_model import load_model
from llm_export.quant.grid import GridSpec
from llm_export.quant.rounding.minmax import ROUNDER as MINMAX
from llm_export.transforms.outlier_linear import use_outlier_linear


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


def test_layers_whose_groups_share_columns_in_another_order_are_of_one_kind() -> None:
    kinds = []
    for seed in range(2):
        torch.manual_seed(seed)
        spec = GridSpec(4, 32, zero_point=True, scale_dtype=torch.bfloat16)
        grid = replace(MINMAX.round(torch.randn(8, 576), spec), order=torch.randperm(9))
        layer = nn.ModuleDict({"linear": nn.Linear(576, 8, bias=False)})
        use_outlier_linear(layer, "linear", grid, None)
        kinds.append(kind_of(layer))
    assert kinds[0] == kinds[1]


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


def test_layers_with_inputs_of_their_own_repeat_and_lenders_do_not() -> None:
    """Gemma 4 E2B: a layer of each kind is next to each kind of neighbour 15 times."""
    option = api.compose_recipe(None, ["model=gemma4_e2b"]).recipe.model
    family = FAMILIES.get(option.family)
    small = {"vocab_size": 8, "vocab_size_per_layer_input": 8, "hidden_size": 8}
    plan = plan_layers(build_on_meta(family.read({**option.config, **small}), 8, "plain", False))
    assert len(plan.kept) == 15
    assert [plan.kept[i] for i in plan.lenders] == [13, 14]
    assert plan.layer_of(plan.lenders[1], near=14, layer=34) == 14
    assert plan.layer_of(13, near=14, layer=34) == 33


def test_a_lender_that_is_repeated_is_refused() -> None:
    model = _model("model.config.num_hidden_layers=6")
    for layer in model.layers:
        layer.attention.config = replace(layer.attention.config, lends=0)
    with pytest.raises(LayersDiffer, match="use values of layer 5, which is repeated"):
        plan_layers(model)


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


def test_a_last_layer_that_is_lowered_in_a_way_of_its_own_is_no_template() -> None:
    model = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(2, 2) for _ in range(6))})
    assert plan_layers(model, "layers").origin == (0, 1, 2, 2, 2, 2)
    apart = plan_layers(model, "layers", last_apart=True)
    assert (apart.kept, apart.origin) == ((0, 1, 4, 5), (0, 1, 2, 2, 2, 3))
