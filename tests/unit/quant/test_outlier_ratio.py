"""Outlier channels in those linears only whose inputs need them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import nn

from llm_export import api
from llm_export.config.quant_schema import AutoConfig, ModuleKind, QuantRule, RoundingConfig
from llm_export.errors import RecipeError
from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.models.decoder import Decoder
from llm_export.models.load_model import load_model
from llm_export.quant.inputs import input_ranges, outlier_channels, with_outliers
from llm_export.quant.layer_spec import LayerQuantSpec, layer_quant_spec
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import ResolvedRecipe, resolve
from llm_export.transforms.base import run_transform
from llm_export.transforms.outlier_linear import quantize_module
from llm_export.transforms.quantize import by_grids

WINDOWS = [[3, 50, 7, 9, 30, 11], [8, 1, 60, 2, 5, 40]]
DOWN = "layers.1.feed_forward.down"


def resolved(*words: str) -> ResolvedRecipe:
    return resolve(api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe)


def planted() -> Decoder:
    """A model of which one layer has two massive activations in front of ``down``."""
    recipe = resolved("quant=none").recipe
    model = load_model(recipe, attention="plain", context_length=32, all_logits=True).model
    assert isinstance(model, Decoder)
    up = model.get_submodule("layers.1.feed_forward.gate_up.up")
    assert isinstance(up, nn.Linear)
    up.weight.data[[2, 9]] *= 300
    return model


def choices_of(model: Decoder, ratio: float, outliers: int = 2) -> list[LayerQuantSpec]:
    rule = QuantRule("8da8w", pattern=r"layers\..*", outliers=outliers, outlier_ratio=ratio)
    return [c for c in resolve_rules(model, [rule], "xnnpack") if c.on_grid]


def test_few_outlier_channels_bring_most_of_the_gain() -> None:
    ids = torch.tensor(WINDOWS[:1])
    places: dict[tuple[float, int], set[str]] = {}
    errors: dict[tuple[float, int], float] = {}
    for ratio, outliers in ((1.0, 0), (8.0, 2), (1.0, 2)):
        model = planted()
        before = model.run_text(ids)
        choices = choices_of(model, ratio, outliers)
        ranges = input_ranges(model, [c.name for c in choices], WINDOWS)
        channels = outlier_channels(ranges, choices)
        settled = [with_outliers(c, channels) for c in choices]
        rounded = round_weights(model, settled, RoundingConfig(), outliers=channels)
        grids = {name: one.grid for name, one in rounded.items()}
        run_transform(by_grids(settled, grids, channels), model)
        changed = {n for n, m in model.named_modules() if isinstance(m, OutlierLinear)}
        assert changed == {c.name for c in settled if c.outliers} == set(channels)
        key = ratio, outliers
        places[key] = changed
        errors[key] = float((model.run_text(ids) - before).square().mean())
        if ratio > 1:
            assert channels[DOWN].tolist() == [2, 9]
    assert places[8.0, 2] == {DOWN}
    assert len(places[1.0, 2]) > 5
    everywhere, here, nowhere = errors[1.0, 2], errors[8.0, 2], errors[1.0, 0]
    assert nowhere - here > 0.5 * (nowhere - everywhere)


def test_modules_that_no_token_reached_have_none() -> None:
    model = planted()
    choices = choices_of(model, 1.0)
    channels = outlier_channels({DOWN: torch.ones(64)}, choices)
    assert list(channels) == [DOWN]
    assert {c.name: with_outliers(c, channels).outliers for c in choices if c.name != DOWN} == {
        c.name: 0 for c in choices if c.name != DOWN
    }


def test_bytes_count_the_channels_once_they_are_known() -> None:
    before = next(c for c in choices_of(planted(), 4.0) if c.name == DOWN)
    after = with_outliers(before, {DOWN: torch.tensor([2, 9])})
    assert (after.outliers, after.outlier_ratio) == (2, 1.0)
    rows, inputs = before.shape
    assert after.bytes == before.bytes + 4 * (2 * rows + 2 * inputs + inputs)
    assert with_outliers(before, {}).bytes == before.bytes


@pytest.mark.parametrize("inputs", [64, 8192])  # selected by a product, and by index
def test_bytes_are_those_of_the_module(inputs: int) -> None:
    float_linear, columns = nn.Linear(inputs, 32, bias=False), torch.arange(3, 11)
    model, weight = nn.Sequential(float_linear), float_linear.weight.detach().clone()
    rule = QuantRule("8da8w", outliers=8)
    choice = layer_quant_spec(rule, 0, "0", ModuleKind.linear, (32, inputs), "xnnpack")
    grid = round_weights(model, [choice], RoundingConfig(), outliers={"0": columns})["0"].grid
    quantize_module(model, "0", choice, grid, columns)
    linear = model[0]
    assert isinstance(linear, OutlierLinear)
    tensors = [linear.correction, *linear.buffers()]
    assert choice.bytes - replace(choice, outliers=0).bytes == sum(t.nbytes for t in tensors)
    assert linear.by_product == (inputs == 64)
    x = torch.zeros(1, inputs)
    x[0, 5] = 1e30  # of which the other product sees nothing
    assert torch.equal(linear(x), x[:, columns] @ weight[:, columns].T)


def test_modules_with_empty_inputs_have_no_range() -> None:
    class Model(nn.Module):
        """An expert that is called without a token."""

        def __init__(self) -> None:
            super().__init__()
            self.reached, self.empty = nn.Linear(4, 4), nn.Linear(4, 4)

        def run_text(self, ids: torch.Tensor) -> torch.Tensor:
            self.empty(torch.ones(0, 4))
            return self.reached(torch.ones(ids.shape[1], 4))

    ranges = input_ranges(cast(Any, Model()), ["reached", "empty"], [[1, 2]])
    assert list(ranges) == ["reached"]


@pytest.mark.parametrize("option", ["8da4w_asym", "8da4w_asym_small", "8da4w_asym_split"])
def test_options_leave_the_number_open(option: str) -> None:
    def linears(*words: str) -> tuple[int | None, float]:
        rule = resolved(f"quant={option}", *words).recipe.quant.rules[0]
        return rule.outliers, rule.outlier_ratio

    assert linears() == (4, 4.0)
    assert linears("quant.outliers=2") == (2, 4.0)
    assert linears("quant.outliers=0") == (0, 4.0)
    quant = resolved(f"quant={option}").recipe.quant
    assert quant.outliers == max(rule.outliers or 0 for rule in quant.rules)
    found = resolved(f"quant={option}", "train=qat", "quant.rules.0.zero_point=false")
    assert found.recipe.quant.rules[0].outliers == 0
    assert sum("outliers: 0 instead of" in note for note in found.notes) == 1


def test_errors() -> None:
    with pytest.raises(RecipeError, match="must be a number from 1 up"):
        resolved("quant=8da4w_asym", "quant.rules.0.outlier_ratio=0.5")
    with pytest.raises(RecipeError, match="each must have an outlier_ratio of 1"):
        resolved("quant=auto", "quant.bits_per_weight=5", "quant.auto.candidates.2.outlier_ratio=3")
    assert AutoConfig().candidates == []
