"""Rounding methods: what they lessen, and that kernels can hold what they give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import RoundingConfig
from llm_export.errors import RecipeError
from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.rounding import ROUNDERS, needs_of
from llm_export.quant.rounding.gptq import GPTQ, inverse_factor
from llm_export.quant.rounding.minmax import ROUNDER as MINMAX
from llm_export.quant.rounding.scales import damped
from llm_export.resolve.recipe import resolve

ROWS, COLUMNS = 24, 96


@st.composite
def specs(draw: st.DrawFn) -> GridSpec:
    dtype = draw(st.sampled_from([torch.bfloat16, torch.float32]))
    group = draw(st.sampled_from([None, 16, 32, 48]))
    return GridSpec(draw(st.integers(2, 8)), group, draw(st.booleans()), dtype)


def heavy_tailed(seed: int, rows: int = ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(rows, COLUMNS, generator=generator)
    return 0.02 * normal / torch.rand(rows, 1, generator=generator) * normal.abs()


def correlated(seed: int) -> Tensor:
    """x x^T of inputs that have a few directions and a channel of large values."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(200, 12, generator=generator) @ torch.randn(12, COLUMNS, generator=generator)
    x = few + 0.3 * torch.randn(200, COLUMNS, generator=generator)
    x[:, 5] *= 30
    return x.t() @ x


def output_errors(weight: Tensor, grid: Grid, hessian: Tensor) -> Tensor:
    """Of each row."""
    error = (weight - grid.values()).double()
    return ((error @ hessian.double()) * error).sum(1)


def assert_sound(grid: Grid, spec: GridSpec) -> None:
    groups = COLUMNS // (spec.group or COLUMNS)
    assert grid.q.dtype == torch.int8
    assert int(grid.q.min()) >= spec.low
    assert int(grid.q.max()) <= spec.high
    assert grid.scale.shape == (len(grid.q), groups)
    assert torch.equal(grid.scale, grid.scale.to(spec.scale_dtype).float())
    assert bool((grid.scale > 0).all())
    assert (grid.offset is not None) == spec.zero_point
    assert bool(torch.isfinite(grid.values()).all())
    assert all(t.is_contiguous() for t in (grid.q, grid.scale))


@settings(deadline=None, max_examples=25)
@given(specs(), st.integers(0, 1000))
def test_hqq_has_no_more_error_than_minmax(spec: GridSpec, seed: int) -> None:
    weight = heavy_tailed(seed)
    grid = ROUNDERS.get("hqq").round(weight, spec, None)
    assert_sound(grid, spec)
    of_hqq, of_minmax = (
        spec.grouped(weight - g.values()).square().sum(-1)
        for g in (grid, MINMAX.round(weight, spec))
    )
    assert bool((of_hqq <= of_minmax).all())
    if spec.bits <= 4:
        assert float((of_hqq / of_minmax.clamp(min=1e-12)).mean()) < 0.97


@settings(deadline=None, max_examples=15)
@given(specs(), st.integers(0, 1000))
def test_mse_loses_less_where_inputs_are_large(spec: GridSpec, seed: int) -> None:
    weight, squares = heavy_tailed(seed), correlated(seed).diagonal()
    grid = ROUNDERS.get("mse").round(weight, spec, squares)
    assert_sound(grid, spec)
    of_mse, of_minmax = (
        (damped(squares, 0.01) * (weight - g.values()).square()).sum(1)
        for g in (grid, MINMAX.round(weight, spec))
    )
    assert float(of_mse.sum()) <= float(of_minmax.sum())
    if spec.bits <= 4:  # in most rows; that of the matrix may be one row's, which gains nothing
        assert float((of_mse / of_minmax).median()) < 1


@settings(deadline=None, max_examples=25)
@given(specs(), st.integers(0, 1000), st.booleans(), st.sampled_from([5, 32, 128]))
def test_gptq_has_less_output_error_than_minmax_in_nearly_every_row(
    spec: GridSpec, seed: int, act_order: bool, block: int
) -> None:
    weight, hessian = heavy_tailed(seed), correlated(seed + 1)
    wanted = RoundingConfig(act_order=act_order, block=block)
    grid = GPTQ().configured(wanted).round(weight, spec, hessian)
    assert_sound(grid, spec)
    of_gptq, of_minmax = (
        output_errors(weight, g, hessian) for g in (grid, MINMAX.round(weight, spec))
    )
    # Of the rows: one may hold nearly all of the matrix's error, and its scale is chosen as if
    # inputs were uncorrelated; with four levels, later columns cannot always make up for it.
    ratio = of_gptq / of_minmax
    assert float(ratio.median()) < 0.4
    assert float((ratio < 1).float().mean()) > 0.8


def test_blocks_only_save_time() -> None:
    """Errors reach later columns at once or block by block: the same but for float rounding."""
    weight, hessian = heavy_tailed(3), correlated(4)
    for spec in (GridSpec(4, 32), GridSpec(4, None), GridSpec(3, 48, True)):
        one, many = (
            GPTQ(act_order=False, block=block).round(weight, spec, hessian) for block in (7, 96)
        )
        assert float((one.q != many.q).float().mean()) < 0.01


def test_the_factor_is_that_of_the_damped_inverse() -> None:
    hessian = correlated(0)
    upper = inverse_factor(hessian, 0.01).double()
    damped = hessian.double() + 0.01 * hessian.diagonal().double().mean() * torch.eye(COLUMNS)
    torch.testing.assert_close(upper, upper.triu())
    torch.testing.assert_close((upper.t() @ upper) @ damped, torch.eye(COLUMNS).double(),
                               rtol=1e-3, atol=1e-3)  # fmt: skip


def test_inputs_that_are_zero_are_as_if_they_were_not_there() -> None:
    """An outlier channel is no part of the quantized product."""
    weight, hessian = heavy_tailed(5), correlated(6)
    spec, outliers = GridSpec(4, None), torch.tensor([5, 40])
    others = torch.ones(COLUMNS, dtype=torch.bool)
    others[outliers] = False
    weight[:, outliers] = 0
    hessian[outliers] = 0
    hessian[:, outliers] = 0
    for act_order in (False, True):
        method = GPTQ(act_order=act_order)
        whole = method.round(weight, spec, hessian)
        part = method.round(weight[:, others], spec, hessian[others][:, others])
        assert int(whole.q[:, outliers].abs().max()) == 0
        assert float((whole.q[:, others] != part.q).float().mean()) < 0.01


def test_damping_helps_a_sum_of_few_tokens() -> None:
    x = torch.randn(3, COLUMNS)
    grid = GPTQ(damping=1e-9).round(heavy_tailed(1), GridSpec(4, 32), x.t() @ x)
    assert_sound(grid, GridSpec(4, 32))


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_inputs_that_say_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="zero or not finite"):
        GPTQ().round(heavy_tailed(1), GridSpec(4, 32), torch.full((COLUMNS, COLUMNS), value))


@pytest.mark.parametrize("method", ["minmax", "mse", "hqq", "gptq"])
def test_constant_and_zero_groups_stay_finite(method: str) -> None:
    weight = torch.zeros(4, COLUMNS)
    weight[1] = 0.5
    weight[2, :32] = -3
    for zero_point in (False, True):
        spec = GridSpec(4, 32, zero_point, torch.bfloat16)
        inputs = correlated(0).diagonal() if method == "mse" else correlated(0)
        grid = ROUNDERS.get(method).round(weight, spec, inputs)
        assert_sound(grid, spec)
        error = (grid.values() - weight).abs()
        assert float(error[0].max()) < 1e-5
        if method != "gptq":  # which moves weights on purpose
            assert float(error.max()) < 0.3


def test_the_method_must_be_known() -> None:
    recipe = api.compose_recipe(None, ["model=tiny", "quant.rounding.method=gptqq"]).recipe
    assert [str(p) for p in find_problems(recipe)] == [
        "quant.rounding.method: there is no rounding method 'gptqq'\n"
        "  fix:   quant.rounding.method=gptq; did you mean 'gptq'? choices: auto, gptq, hqq, "
        "minmax, mse"
    ]


@pytest.mark.parametrize(
    ("override", "where", "words"),
    [
        ("damping=0", "quant.rounding.damping=0.0", "must be between 0 and 1"),
        ("damping=1.5", "quant.rounding.damping=1.5", "must be between 0 and 1"),
        ("block=0", "quant.rounding.block=0", "must be positive"),
        ("widest=0", "quant.rounding.widest=0", "must be positive"),
    ],
)
def test_settings_have_limits(override: str, where: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        api.compose_recipe(None, ["model=tiny", f"quant.rounding.{override}"])
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("words", "method", "note"),
    [
        ([], "gptq", None),
        (["model.definition=hf"], "mse", "GPTQ would run the whole model for each of its layers"),
        (["checkpoint.random_seed=0"], "minmax", "random weights gain nothing from another"),
        (["train=qat"], "minmax", "as training rounds"),
        (["quant.qat.enabled=true"], "minmax", "as training rounds"),
    ],
)
def test_auto_takes_what_the_recipe_gains_from(
    words: list[str], method: str, note: str | None
) -> None:
    plain = ["model=smollm2_135m", "backend=xnnpack", "quant=8da4w", *words]
    plain += ["checkpoint.package=null"] if "checkpoint.random_seed=0" in words else []
    found = resolve(api.compose_recipe(None, plain).recipe)
    assert found.recipe.quant.rounding.method == method
    notes = [one for one in found.notes if one.startswith("quant.rounding")]
    assert notes == ([f"quant.rounding.method: {method}, {note}"] if note else [])


def test_a_method_composes_with_a_scheme() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant=8da4w", "quant.rounding.method=gptq"]
    recipe = api.compose_recipe(None, words).recipe
    assert recipe.quant.rounding == RoundingConfig("gptq")
    assert find_problems(recipe) == []


def test_needs_are_known_without_the_methods() -> None:
    assert {name: needs_of(name) for name in ROUNDERS} == {
        n: ROUNDERS.get(n).needs for n in ROUNDERS
    }
