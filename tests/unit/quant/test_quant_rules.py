"""Rules: the first that matches applies; bytes are predicted; mistakes are named."""

from __future__ import annotations

from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import llm_export.backends  # noqa: F401  (registers what they run)
from llm_export import api
from llm_export.config.quant_schema import ModuleKind, QuantRule, RoundingConfig
from llm_export.errors import RecipeError
from llm_export.models.build import build_on_meta
from llm_export.models.families.llama import from_hf
from llm_export.quant.grid import GridSpec, sqnr
from llm_export.quant.mean_columns import column_count, exact_count
from llm_export.quant.rounding.detect_grid import find_grid
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.resolve.recipe import resolve as resolve_recipe
from llm_export.transforms.base import run_transform
from llm_export.transforms.quantize import by_grids


def tiny() -> torch.nn.Module:
    config = from_hf(api.compose_recipe(None, ["model=tiny"]).recipe.model.config)
    return build_on_meta(config, 64, "plain", False)


def test_the_first_matching_rule_applies() -> None:
    rules = [
        QuantRule(scheme="none", pattern=r"layers\.0\..*"),
        QuantRule(scheme="8da8w", kind=ModuleKind.linear),
        QuantRule(scheme="8w", kind=ModuleKind.embedding),
    ]
    found = {c.name: (c.scheme, c.rule) for c in resolve_rules(tiny(), rules)}
    assert found["layers.0.feed_forward.down"] == ("none", 0)
    assert found["layers.1.feed_forward.down"] == ("8da8w", 1)
    assert found["embed"] == ("8w", 2)
    assert found["head"] == ("none", None)


def test_a_group_size_must_divide() -> None:
    with pytest.raises(RecipeError, match="group_size 96 does not divide the 64 inputs"):
        resolve_rules(tiny(), [QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=96)])


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    rules = [
        QuantRule(scheme="8da8w"),
        QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=32),
    ]
    with pytest.raises(RecipeError, match="the rule matches no module") as caught:
        resolve_rules(tiny(), rules)
    assert caught.value.where == "quant.rules[1]"


def test_a_pattern_must_be_a_regular_expression() -> None:
    with pytest.raises(RecipeError, match="not a regular expression"):
        api.compose_recipe(None, ["quant.rules=[{scheme: 8w, pattern: '('}]"])


def test_layers_are_numbers_and_ranges() -> None:
    rules = [QuantRule(scheme="8da8w", layers="1-", kind=ModuleKind.linear)]
    chosen = {c.name for c in resolve_rules(tiny(), rules) if c.scheme != "none"}
    assert chosen == {c.name for c in resolve_rules(tiny(), []) if c.name.startswith("layers.1.")}
    with pytest.raises(RecipeError, match="layers=7: the model has 2 layers, 0 to 1"):
        resolve_rules(tiny(), [QuantRule(scheme="8da8w", layers="7")])
    with pytest.raises(RecipeError, match="numbers and ranges such as 0,2-5,28-"):
        api.compose_recipe(None, ["quant.rules=[{scheme: 8w, layers: 'a-b'}]"])


def linear(rows: int, columns: int, rule: QuantRule) -> LayerQuantSpec:
    (choice,) = resolve_rules(
        nn.Sequential(nn.Linear(columns, rows, bias=False)), [rule], "xnnpack"
    )
    return choice


@given(st.integers(1, 64), st.integers(1, 16), st.sampled_from([32, 64]))
def test_predicted_bytes(rows: int, groups: int, size: int) -> None:
    columns = groups * size
    count = rows * columns
    assert linear(rows, columns, QuantRule(scheme="none")).bytes == 4 * count
    assert linear(rows, columns, QuantRule(scheme="8da8w")).bytes == count + 4 * rows
    grouped = QuantRule(scheme="8da4w", group_size=size)
    assert linear(rows, columns, grouped).bytes == count // 2 + 2 * rows * groups
    corrected = QuantRule(scheme="8da4w", group_size=size, zero_point=True, outliers=3)
    choice = linear(rows, columns, corrected)
    once, kept = column_count(groups, size), exact_count(groups, size)
    for rounding, further in (("gptq", once), ("kept", kept), ("qat", kept)):
        integers = rows * (columns + further) // 2
        scales = 2 * rows * (groups + further // size)
        apart = 4 * (rows * 3 + columns * 3 + columns)  # and what selects their inputs
        assert replace(choice, rounding=rounding).bytes == integers + scales + apart
    assert choice.bytes == replace(choice, rounding="gptq").bytes


@pytest.mark.parametrize(
    ("backend", "shifted"), [("openvino", True), ("coreml", True), ("mlx", True), ("vulkan", False)]
)
def test_kernels_with_zero_points_get_them(backend: str, shifted: bool) -> None:
    """The tensor itself has them, where the option leaves them open."""
    words = ["model=tiny", f"backend={backend}", "quant=4w"]
    rules = resolve_recipe(api.compose_recipe(None, words).recipe).recipe.quant.rules
    rule = rules[0]
    assert rule.zero_point is shifted
    linear = nn.Linear(64, 8, bias=False)
    nn.init.uniform_(linear.weight, 0.1, 0.2)  # no symmetric range has this
    model = nn.Sequential(linear)
    (choice,) = resolve_rules(model, [replace(rule, kind=None)], backend)
    assert choice.in_kernel is rule.zero_point
    one = 2 if choice.scale_dtype == "float16" else 4
    assert choice.bytes == 8 * 64 // 2 + 8 * 2 * (2 * one if shifted else one)
    grids = {"0": round_weights(model, [choice], RoundingConfig("mse"), outliers={})["0"].grid}
    run_transform(by_grids([choice], grids, {}), model)
    assert type(model[0]) is nn.Linear
    step = float(grids["0"].scale.max())
    near = 0.01 * step if one == 2 else 1e-6  # zero points have the dtype of the scales
    torch.testing.assert_close(model(torch.eye(64)).t(), grids["0"].values(), rtol=0, atol=near)


@pytest.mark.parametrize(
    ("words", "shifted"),
    [
        ([], True),
        (["quant.qat.enabled=true"], False),
        (["quant.qat.enabled=true", "quant.qat.is_symmetric=false"], True),
    ],
)
def test_training_and_candidates_leave_zero_points_open_too(
    words: list[str], shifted: bool
) -> None:
    rule = "[{kind: linear, scheme: 4w, group_size: 32, zero_point: null}]"
    auto = [f"quant.auto.candidates={rule}", "quant.bits_per_weight=5"]
    plain = ["model=tiny", "backend=mlx", "quant=4w", *words]
    found = resolve_recipe(api.compose_recipe(None, [*plain, *auto]).recipe).recipe.quant
    assert found.auto is not None
    assert {r.zero_point for r in (found.rules[0], *found.auto.candidates)} == {shifted}


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from([("8da8w", None), ("8da4w", 32), ("8da4w", 64)]),
    st.booleans(),
    st.sampled_from([0, 3]),
    st.integers(0, 100),
)
def test_quantized_linears_are_near(
    scheme: tuple[str, int | None], zero_point: bool, outliers: int, seed: int
) -> None:
    """Whatever is beside the quantized product, the sum is the linear's."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(128, 16))
    zero_point = zero_point and scheme[1] is not None
    rule = QuantRule(
        scheme=scheme[0], group_size=scheme[1], zero_point=zero_point, outliers=outliers
    )
    x = torch.randn(5, 128)
    x[:, 7] *= 50
    expected = model(x)
    channels = {"0": torch.tensor([3, 7, 90])} if outliers else {}
    choices = resolve_rules(model, [rule], "xnnpack")
    rounded = round_weights(model, choices, RoundingConfig(), outliers=channels)
    run_transform(by_grids(choices, {"0": rounded["0"][0]}, channels), model)
    error = (model(x) - expected).abs().amax() / expected.abs().amax()
    assert error < (0.05 if scheme[0] == "8da8w" else 0.2)
    if outliers:  # the large channel no longer takes the precision of the others
        error_of_rest = (model(x) - expected).abs().amax()
        assert error_of_rest < (0.05 if scheme[0] == "8da8w" else 0.6)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["Q4_0", "Q4_1", "Q8_0"]), st.integers(0, 1000))
def test_a_grid_of_the_checkpoint_is_found(kind: str, seed: int) -> None:
    """Integers come back as they are in the file, scales as far as the kernel keeps them."""
    values = np.random.default_rng(seed).standard_normal((8, 96)).astype(np.float32)
    block = getattr(gguf.GGMLQuantizationType, kind)
    weight = torch.from_numpy(gguf.dequantize(gguf.quantize(values, block), block).copy())
    bits = 8 if kind == "Q8_0" else 4
    spec = GridSpec(bits, 32, zero_point=bits == 4)
    grid = find_grid(weight, spec)
    assert grid is not None
    torch.testing.assert_close(grid.values(), weight, rtol=0, atol=1e-6)
    assert find_grid(torch.randn(8, 96), spec) is None
    kept = find_grid(weight, replace(spec, scale_dtype=torch.bfloat16))
    assert kept is not None
    assert torch.equal(kept.q, grid.q)
    assert sqnr(weight, kept.values()) > 45
