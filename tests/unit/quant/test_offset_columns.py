"""Group offsets as columns of a symmetric weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.quant.apply import set_weight
from llm_export.quant.grid import Grid, GridSpec, sqnr
from llm_export.quant.mean_columns import (
    column_count,
    exact_count,
    kept_columns,
    rounded_columns,
    shares_columns,
)
from llm_export.quant.offset_columns import columns_of, inputs_of, with_offset_columns
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.minmax import ROUNDER
from llm_export.transforms.outlier_linear import use_outlier_linear


def affine(rows: int, groups: int, size: int, seed: int, *, kept: bool = True) -> Grid:
    """``kept``: with offsets of any values, as of an earlier quantization."""
    torch.manual_seed(seed)
    centre = torch.randn(rows, groups).repeat_interleave(size, 1)
    weight = torch.randn(rows, groups * size) + centre
    spec = GridSpec(4, size, True, torch.bfloat16, offset_columns=not kept)
    return ROUNDER.round(weight, spec)


def offsets_of(merged: Grid, grid: Grid) -> Tensor:
    """Those that the further columns represent, [N, G]."""
    size, offset = merged.spec.group, grid.offset
    assert size is not None
    assert offset is not None
    columns = columns_of(grid)
    further = merged.values()[:, offset.shape[1] * size :]
    further = further.unflatten(1, (columns.copies, -1)).sum(1)
    further = further[:, : columns.width - columns.zeros].unflatten(1, (columns.blocks, -1))
    # An input of 1 in each group alone: what its block's columns make of it is the group's offset.
    return (further @ inputs_of(columns, size)[:, ::size]).flatten(1)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 5), st.integers(1, 40) | st.just(80), st.sampled_from([32, 64]),
    st.integers(0, 99), st.booleans(),
)  # fmt: skip
def test_offsets_are_kept_to_a_fraction_of_a_step(
    rows: int, groups: int, size: int, seed: int, ordered: bool
) -> None:
    grid = affine(rows, groups, size, seed)
    n = columns_of(grid).block_groups
    order = torch.randperm(n) if ordered else torch.arange(n)
    if ordered:
        grid = replace(grid, order=order)
    merged = with_offset_columns(grid)
    kept = offsets_of(merged, grid)
    assert grid.offset is not None
    assert merged.offset is None
    assert merged.q.shape[1] == groups * size + exact_count(groups, size)
    assert torch.equal(merged.q[:, : groups * size], grid.q)
    assert int(merged.q.min()) >= -8
    assert int(merged.q.max()) <= 7
    largest = grid.offset.abs().amax(1, keepdim=True)
    far = (kept - grid.offset).abs() / largest
    # The last groups of a block may share a column: two have a quarter of a step instead of a 16th.
    alone = [s[0][0] for s in kept_columns(groups, size, order.tolist()).seconds if len(s) == 1]
    alone = alone or order.tolist()
    assert alone == order[: len(alone)].tolist()
    assert len(alone) >= n / 2
    assert far.le(1 / 24 + 1e-12).all()
    assert far.unflatten(1, (-1, n))[:, :, alone].le(1 / 90 + 1e-12).all()


@pytest.mark.parametrize(
    ("inputs", "columns"), [(576, 32), (896, 64), (1024, 64), (1536, 96), (2048, 128), (8192, 512)]
)
def test_columns_of_kept_offsets_by_inputs(inputs: int, columns: int) -> None:
    """A byte per offset and less, in whole groups."""
    assert exact_count(inputs // 32, 32) == columns
    assert shares_columns(inputs // 32, 32) == (inputs == 576)


def test_the_groups_that_matter_most_share_no_column() -> None:
    """Of each block of nine groups, the last four of the order."""
    grid = affine(64, 18, 32, 0)
    order = torch.arange(9).flip(0)
    far = []
    for one in (grid, replace(grid, order=order)):
        assert one.offset is not None
        lost = (offsets_of(with_offset_columns(one), one) - one.offset).square().mean(0)
        far.append(lost.unflatten(0, (2, 9)))
    assert far[0][:, :5].max() < far[0][:, 5:].min() / 3
    assert far[1][:, 4:].max() < far[1][:, :4].min() / 3


@pytest.mark.parametrize(
    ("inputs", "kept", "rounded"),
    [(576, (2, 16), (2, 16)), (1536, (6, 16), (4, 16)), (2048, (4, 16), (4, 16)),
     (5504, (43, 4), (43, 4)), (10944, (38, 9), (38, 9)), (1088, (17, 2), (17, 2)),
     (1696, (53, 1), (53, 1)), (1120, (7, 9), (5, 7)), (288, (3, 6), (1, 9))],
)  # fmt: skip
def test_blocks_fit_a_tile(inputs: int, kept: tuple[int, int], rounded: tuple[int, int]) -> None:
    for made, expected in (
        (kept_columns(inputs // 32, 32), kept), (rounded_columns(inputs // 32, 32), rounded),
    ):  # fmt: skip
        assert (made.blocks, made.block_width) == expected
        assert made.zeros >= 0


@settings(deadline=None, max_examples=12)
@given(
    st.integers(1, 5), st.sampled_from([1, 3, 18, 34]), st.sampled_from([32, 48]),
    st.integers(0, 99),
    st.sampled_from(["minmax", "mse", "hqq", "gptq"]),
)  # fmt: skip
def test_one_copy_is_exact_for_offsets_that_were_rounded_before_the_weight(
    rows: int, groups: int, size: int, seed: int, method: str
) -> None:
    torch.manual_seed(seed)
    inputs = torch.randn(groups * size, 2 * groups * size)
    products = {"gptq": inputs @ inputs.t(), "mse": inputs.square().mean(1)}
    weight = torch.randn(rows, groups * size) + torch.randn(rows, groups).repeat_interleave(size, 1)
    free, bound = (
        ROUNDERS.get(method).round(
            weight, GridSpec(4, size, True, torch.bfloat16, columns), products.get(method)
        )
        for columns in (False, True)
    )
    merged = with_offset_columns(bound)
    assert bound.offset is not None
    assert merged.q.shape[1] == groups * size + column_count(groups, size)
    torch.testing.assert_close(offsets_of(merged, bound), bound.offset, rtol=1e-5, atol=1e-9)
    assert sqnr(weight, bound) > sqnr(weight, free) - 1.5  # dB; two copies would cost 0.4 bits


def test_offsets_of_zero_stay_zero() -> None:
    grid = affine(3, 2, 32, 0)
    without = Grid(grid.q, grid.scale, torch.zeros_like(grid.scale), grid.spec)
    merged = with_offset_columns(without)
    assert not offsets_of(merged, without).any()
    assert not merged.q[:, 64:].any()
    assert merged.scale.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (7,), ()])
def test_product_is_that_of_the_affine_weight(shape: tuple[int, ...]) -> None:
    """Also with outlier channels, and for any leading sizes."""
    grid = affine(6, 3, 32, 1)
    weight, x = grid.values(), torch.randn(*shape, 96)
    for columns in (None, torch.tensor([3, 70])):
        holder = nn.ModuleDict({"linear": nn.Linear(96, 6, bias=False)})
        holder["linear"].weight = nn.Parameter(weight, requires_grad=False)
        rest = grid
        if columns is not None:
            q = grid.q.clone()
            q[:, columns] = 0
            rest = Grid(q, grid.scale, grid.offset, grid.spec)
        merged = use_outlier_linear(holder, "linear", rest, columns)
        linear = holder["linear"]
        assert isinstance(linear, OutlierLinear)
        set_weight(linear, merged, "4w")  # without quantized activations: their error is not ours
        expected = x @ weight.t()
        assert (linear(x) - expected).norm() <= 0.01 * expected.norm()


def test_outliers_do_not_scale_the_group_means() -> None:
    """They would set the scale of all other inputs, which share one."""
    torch.manual_seed(0)
    grid, column = affine(6, 8, 32, 1), torch.tensor([5])
    grid.q[:, column] = 0
    holder = nn.ModuleDict({"linear": nn.Linear(256, 6, bias=False)})
    merged = use_outlier_linear(holder, "linear", grid, column)
    linear = holder["linear"]
    set_weight(linear, merged, "8da4w")
    x = torch.randn(50, 256)
    alone = linear(x) - linear(torch.eye(256)[5:6] * x[:, 5:6])
    x[:, 5] *= 1000
    beside = linear(x) - linear(torch.eye(256)[5:6] * x[:, 5:6])
    assert (beside - alone).norm() <= 1e-3 * alone.norm()


def test_an_exported_length_stays_free() -> None:
    """No size in the graph is computed: delegates take none."""
    grid = affine(6, 3, 32, 1)
    holder = nn.ModuleDict({"linear": nn.Linear(96, 6, bias=False)})
    merged = use_outlier_linear(holder, "linear", grid, None)
    set_weight(holder["linear"], merged, "8da4w")
    length = torch.export.Dim("length", min=1, max=16)
    program = torch.export.export(
        holder["linear"], (torch.randn(1, 4, 96),), dynamic_shapes=({1: length},)
    )
    computed = [n for n in program.graph.nodes if "sym_size" in str(n.target)]
    assert not computed
