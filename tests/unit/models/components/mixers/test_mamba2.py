"""Mamba-2's matrix form of a step against its recurrence, token by token in float64."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llm_export.models.components.mixers.mamba2 import StateSpace
from llm_export.models.components.mixers.softplus import softplus
from llm_export.models.components.step import Step
from llm_export.models.config import Mamba2Config


def recurrence(x: Tensor, b: Tensor, c: Tensor, decay: Tensor) -> Tensor:
    """x [S, H, P], B and C [G, S, N], logarithms of decays [S, H] -> [S, H, P]."""
    x, b, c, decay = (t.double() for t in (x, b, c, decay))
    s, heads, p = x.shape
    per_group = heads // b.shape[0]
    b, c = (t.repeat_interleave(per_group, dim=0) for t in (b, c))  # [H, S, N]
    state = torch.zeros(heads, b.shape[-1], p, dtype=torch.float64)
    rows = []
    for i in range(s):
        state = state * decay[i].exp()[:, None, None] + b[:, i, :, None] * x[i][:, None]
        rows.append((c[:, i, :, None] * state).sum(1))
    return torch.stack(rows)


def by_steps(config: Mamba2Config, inputs: tuple[Tensor, ...], cuts: list[int]) -> Tensor:
    space = StateSpace(config)
    space.init_buffers()
    x, b, c, decay = inputs
    rows = []
    for start, end in pairwise([0, *cuts, x.shape[0]]):
        step = Step({}, (), follows=torch.tensor([float(start > 0)]))
        part = slice(start, end)
        rows.append(space(x[part], b[:, part], c[:, part], decay[part], step))
    return torch.cat(rows)


def inputs(config: Mamba2Config, s: int, strongest: float) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    heads, groups = config.heads, config.groups
    decay = -torch.rand((s, heads), generator=generator) * torch.logspace(-3, 0, heads) * strongest
    return (normal(s, heads, config.head_dim), normal(groups, s, config.state),
            normal(groups, s, config.state), decay)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 3]), per_group=st.sampled_from([1, 2, 5]),
    head_dim=st.sampled_from([1, 6]), state=st.sampled_from([1, 7]),
    cuts=st.lists(st.integers(1, 22), unique=True, max_size=4),
)  # fmt: skip
def test_any_steps_are_the_recurrence(
    groups: int, per_group: int, head_dim: int, state: int, cuts: list[int]
) -> None:
    config = Mamba2Config(groups * per_group, head_dim, state, groups, kernel=4)
    given_ = inputs(config, 23, strongest=2.0)
    expected = recurrence(*given_)
    error = (by_steps(config, given_, sorted(cuts)) - expected).abs().max()
    assert error < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("strongest", "bound"), [(0.01, 1e-6), (5.0, 5e-6), (50.0, 5e-5)])
def test_long_steps_keep_their_precision(strongest: float, bound: float) -> None:
    """Differences of sums of logarithms lose digits to fast decays, which forget soon."""
    config = Mamba2Config(16, 8, 16, 2, kernel=4)
    given_ = inputs(config, 128, strongest)
    expected = recurrence(*given_)
    found = by_steps(config, given_, [])
    assert torch.isfinite(found).all()
    assert (found - expected).abs().max() < bound * expected.abs().max()


def test_a_text_that_begins_anew_forgets_the_one_before() -> None:
    config = Mamba2Config(4, 8, 6, 2, kernel=4)
    x, b, c, decay = inputs(config, 9, 1.0)
    space = StateSpace(config)
    space.init_buffers()
    first = Step({}, (), follows=torch.zeros(1))
    before = space(x, b, c, decay, first)
    assert torch.equal(space(x, b, c, decay, first), before)
    after = space(x, b, c, decay, Step({}, (), follows=torch.ones(1)))
    assert not torch.allclose(after, before)
    assert math.isclose(float(space(x, b, c, decay, first).sum()), float(before.sum()))


def test_softplus_is_precise_at_both_ends() -> None:
    x = torch.cat((torch.linspace(-30, 30, 601), torch.tensor([-1e4, 1e4])))
    expected = torch.nn.functional.softplus(x.double(), threshold=1000)
    assert torch.allclose(softplus(x).double(), expected, rtol=1e-6, atol=0)
