"""Confidence intervals hold their level, also where positions of a window depend on each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_export.metrics.interval import Interval, clustered_interval

ANY = (-math.inf, math.inf)


def test_equal_windows_give_students_interval_of_their_means() -> None:
    values = torch.tensor([1.0, 3.0, 2.0, 4.0, 6.0, 8.0])  # window means 2, 3, 7
    found = clustered_interval(values, [2, 2, 2], ANY)
    error = math.sqrt((4 + 1 + 9) / 2 / 3)  # of the mean of three means, whose mean is 4
    assert found is not None
    assert found.low == pytest.approx(4 - 4.302653 * error, rel=1e-6)
    assert found.high == pytest.approx(4 + 4.302653 * error, rel=1e-6)


def test_dependent_positions_are_covered_as_often_as_stated() -> None:
    """Every window has a level of its own, as a KV cache gives it; an interval from positions as
    if they were independent would cover the mean in less than a third of the cases."""
    torch.manual_seed(0)
    windows, length, trials, covered = 6, 50, 400, 0
    for _ in range(trials):
        values = torch.randn(windows, 1) + 0.5 * torch.randn(windows, length)
        found = clustered_interval(values.flatten(), [length] * windows, ANY)
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert 0.91 < covered / trials < 0.99


@given(st.lists(st.floats(0, 1), min_size=4, max_size=40), st.integers(1, 3))
def test_the_interval_holds_the_mean_and_stays_within_bounds(x: list[float], cut: int) -> None:
    found = clustered_interval(torch.tensor(x, dtype=torch.float64), [cut, len(x) - cut], (0, 1))
    assert found is not None
    mean = sum(x) / len(x)
    assert 0 <= found.low <= mean + 1e-12
    assert mean - 1e-12 <= found.high <= 1


def test_one_window_or_what_is_not_a_number_has_no_interval() -> None:
    assert clustered_interval(torch.ones(4), [4], ANY) is None
    assert clustered_interval(torch.tensor([1.0, math.nan]), [1, 1], ANY) is None
    share = Interval(0.6, 0.9).complement()
    assert (share.low, share.high) == (pytest.approx(0.1), pytest.approx(0.4))
