"""Ratios of measurements and their confidence intervals."""

from __future__ import annotations

import math
from random import Random

import pytest
from scipy import stats

from llm_export.metrics.ratio import paired_ratio, ratio

SLOW, FAST = (10.0, 11.0, 10.4, 9.8, 10.9), (5.1, 5.4, 5.0, 4.9, 5.5)


def test_paired_measurements_are_students_t_of_the_logarithms() -> None:
    found = paired_ratio(SLOW, FAST)
    logs = [math.log(a / b) for a, b in zip(SLOW, FAST, strict=True)]
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(math.exp(expected.low))
    assert found.interval.high == pytest.approx(math.exp(expected.high))
    assert found.value == pytest.approx(math.exp(sum(logs) / len(logs)))
    assert found.significant


def test_independent_measurements_are_welchs_t_of_the_logarithms() -> None:
    found = ratio(SLOW, FAST[:3])
    logs = [[math.log(v) for v in values] for values in (SLOW, FAST[:3])]
    expected = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(math.exp(expected.low))
    assert found.interval.high == pytest.approx(math.exp(expected.high))


def test_a_slower_machine_in_some_rounds_cancels_in_pairs() -> None:
    draw = Random(0)
    rounds = [draw.uniform(1, 3) for _ in range(8)]
    base = [10 * r for r in rounds]
    measured = [9 * r * draw.uniform(0.99, 1.01) for r in rounds]
    assert paired_ratio(measured, base).significant
    assert not ratio(measured, base).significant


def test_equal_and_single_measurements() -> None:
    assert not ratio(SLOW, SLOW).significant
    assert not paired_ratio(SLOW, SLOW).significant
    single = ratio([2.0], [1.0])
    assert (single.value, single.interval, single.significant) == (2.0, None, False)
    assert ratio([2.0, 2.0], [1.0, 1.0]).significant


@pytest.mark.parametrize("values", [[], [0.0], [math.nan], [-1.0]])
def test_what_has_no_ratio_is_refused(values: list[float]) -> None:
    for compared in (ratio, paired_ratio):
        with pytest.raises(ValueError, match="positive finite"):
            compared(values, values)
    with pytest.raises(ValueError, match="do not pair"):
        paired_ratio([1.0], [1.0, 2.0])
