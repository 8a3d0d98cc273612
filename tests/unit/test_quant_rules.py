"""Rules: the first that matches applies; bytes are predicted; mistakes are named."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.schema import ModuleKind, QuantRule
from llm_export.errors import RecipeError
from llm_export.models.build import build_on_meta
from llm_export.models.families.llama import from_hf
from llm_export.quant.apply import quantize
from llm_export.quant.rules import choose, weight_bytes


def tiny() -> torch.nn.Module:
    config = from_hf(api.compose_recipe(None, ["model=tiny"]).recipe.model.config)
    return build_on_meta(config, 64, "plain", False)


def test_the_first_matching_rule_applies() -> None:
    rules = [
        QuantRule(scheme="none", pattern=r"layers\.0\..*"),
        QuantRule(scheme="8da8w", kind=ModuleKind.linear),
        QuantRule(scheme="8w", kind=ModuleKind.embedding),
    ]
    found = {c.name: (c.scheme, c.rule) for c in choose(tiny(), rules)}
    assert found["layers.0.feed_forward.down"] == ("none", 0)
    assert found["layers.1.feed_forward.down"] == ("8da8w", 1)
    assert found["embed"] == ("8w", 2)
    assert found["head"] == ("none", None)


def test_a_group_size_must_divide() -> None:
    with pytest.raises(RecipeError, match="group_size 96 does not divide the 64 inputs"):
        choose(tiny(), [QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=96)])


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    rules = [
        QuantRule(scheme="8da8w"),
        QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=32),
    ]
    with pytest.raises(RecipeError, match="the rule matches no module") as caught:
        choose(tiny(), rules)
    assert caught.value.where == "quant.rules[1]"


def test_a_pattern_must_be_a_regular_expression() -> None:
    with pytest.raises(RecipeError, match="not a regular expression"):
        api.compose_recipe(None, ["quant.rules=[{scheme: 8w, pattern: '('}]"])


@given(st.integers(1, 64), st.integers(1, 16), st.sampled_from([32, 64]))
def test_predicted_bytes(rows: int, groups: int, size: int) -> None:
    shape = (rows, groups * size)
    count = rows * groups * size
    assert weight_bytes(shape, "none", None) == 4 * count
    assert weight_bytes(shape, "8da8w", None) == count + 5 * rows
    assert weight_bytes(shape, "8da4w", size) == count // 2 + 5 * rows * groups


@settings(deadline=None, max_examples=10)
@given(st.sampled_from([("8da8w", None), ("8da4w", 32), ("8da4w", 64)]), st.integers(0, 100))
def test_quantized_weights_are_near(scheme: tuple[str, int | None], seed: int) -> None:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(128, 16, bias=False))
    original = model[0].weight.detach().clone()
    rule = QuantRule(scheme=scheme[0], group_size=scheme[1])
    assert quantize(model, choose(model, [rule])) == 1
    error = model[0].weight.dequantize() - original
    bits = 8 if scheme[0] == "8da8w" else 4
    # Symmetric rounding: at most half a step, and a step is 2 max / (2^bits - 1);
    # bfloat16 scales add 2^-8 of the value.
    step = 2 * original.abs().amax() / (2**bits - 1)
    assert error.abs().max() <= step / 2 + original.abs().amax() * 2**-7
