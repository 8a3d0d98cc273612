"""Scales refined to the least rounding error, on one pair of a producer and its consumers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.quant.grid import GridSpec
from llm_export.quant.rounding.minmax import ROUNDER
from llm_export.transforms.scale_folding import FoldingPair
from llm_export.transforms.smooth import smoothing_scale
from llm_export.transforms.smooth_refine import Rounding, refined

GENERATOR = torch.Generator().manual_seed(1)
CHANNELS = 64


def pair(group: int = 1, head_dim: int = 1) -> FoldingPair:
    rows = CHANNELS // group
    consumer = nn.Linear(CHANNELS, 48, bias=False)
    consumer.weight = nn.Parameter(torch.randn(48, CHANNELS, generator=GENERATOR), False)
    return FoldingPair((nn.Parameter(torch.ones(rows), False),), slice(None), (consumer,), group,
                       head_dim)  # fmt: skip


def uneven(edge: FoldingPair, tokens: int = 200) -> Tensor:
    """Inputs whose channels differ in size, and in how often they are large."""
    x = torch.randn(tokens, CHANNELS, generator=GENERATOR)
    rare = torch.rand(tokens, CHANNELS, generator=GENERATOR) < 0.02
    sizes = torch.logspace(-1, 1, CHANNELS // edge.group)
    return x * edge.columns(sizes) * (1 + 20 * rare)


def loss(edge: FoldingPair, scale: Tensor, x: Tensor, rounding: Rounding) -> float:
    d, weight = edge.columns(scale), edge.consumers[0].weight
    assert isinstance(weight, Tensor)
    inner = x / d
    low, high = inner.amin(-1, True).clamp(max=0), inner.amax(-1, True).clamp(min=0)
    step = (high - low) / 255
    inner = torch.round(inner / step) * step
    grid = ROUNDER.round(weight * d, GridSpec(rounding.bits, rounding.group))
    return float((F.linear(inner, grid.values()) - F.linear(x, weight)).square().mean())


@pytest.mark.parametrize(
    ("bits", "size", "group", "head_dim"),
    [(8, None, 1, 1), (4, 32, 1, 1), (8, None, 2, 16)],
    ids=["8 bits", "4 bits in groups", "values of grouped heads"],
)
def test_fewer_errors_also_on_other_inputs(
    bits: int, size: int | None, group: int, head_dim: int
) -> None:
    edge, rounding = pair(group, head_dim), Rounding(bits, size)
    first = smoothing_scale(edge, (x := uneven(edge)).abs().amax(0), 0.5)
    found = refined(edge, first, x, rounding, 30)
    assert found.shape == first.shape
    before, after = (loss(edge, scale, uneven(edge), rounding) for scale in (first, found))
    assert after < 0.9 * before, (after, before)


def test_inputs_without_a_value_leave_the_scales() -> None:
    edge, first = pair(), torch.linspace(0.5, 2, CHANNELS)
    zeros = torch.zeros(4, CHANNELS)
    assert torch.equal(refined(edge, first, zeros, Rounding(8, None), 3), first)
