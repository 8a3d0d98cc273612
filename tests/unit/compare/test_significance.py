"""Which differences are more than chance."""

from __future__ import annotations

import math
from random import Random

import pytest
from saved_runs import sampled
from scipy import stats

from llm_export.compare.figure import Figure
from llm_export.compare.quantities import known_quantities
from llm_export.compare.significance import (
    BETWEEN_PROCESSES,
    holm,
    p_of_intervals,
    p_of_ratio,
    sampled_ratio,
)
from llm_export.compare.speed_figures import speed_figures
from llm_export.metrics.interval import Interval
from llm_export.metrics.ratio import paired_ratio, ratio

DECODE = known_quantities()["decode.median"]
SLOW, FAST = (10.0, 11.0, 10.4, 9.8, 10.9), (9.1, 9.4, 9.0, 9.9, 9.5)


def of(*samples: float, interval: Interval | None = None) -> Figure:
    return Figure(DECODE, samples[0], interval=interval, samples=samples)


def test_p_values_are_those_of_students_t_and_welchs() -> None:
    logs = [[math.log(v) for v in values] for values in (SLOW, FAST)]
    welch = stats.ttest_ind(*logs, equal_var=False).pvalue
    assert ratio(SLOW, FAST).p_value() == pytest.approx(welch)
    student = stats.ttest_rel(*logs).pvalue
    assert paired_ratio(SLOW, FAST).p_value() == pytest.approx(student)
    shifted = [[v - math.log(1.03) for v in logs[0]], logs[1]]
    beyond = stats.ttest_ind(*shifted, equal_var=False).pvalue
    assert ratio(SLOW, FAST).p_value(0.03) == pytest.approx(beyond)
    assert ratio(SLOW, FAST).p_value(0.5) == 1.0
    assert ratio([2.0], [1.0]).p_value() is None
    assert ratio([2.0, 2.0], [1.0, 1.0]).p_value() == 0.0


def test_holm_is_the_published_procedure() -> None:
    """The example of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({}) == {}


def test_intervals_are_two_independent_means() -> None:
    one = Figure(DECODE, 0.10, interval=Interval(0.08, 0.12))
    other = Figure(DECODE, 0.15, interval=Interval(0.11, 0.19))
    errors = [0.02 / 1.959964, 0.04 / 1.959964]
    expected = 2 * stats.norm.sf(0.05 / math.hypot(*errors))
    assert p_of_intervals(one, other) == pytest.approx(expected, rel=1e-4)
    # Cut by a bound, the other side tells the error.
    cut = Figure(DECODE, 0.10, interval=Interval(0.10, 0.12))
    assert p_of_intervals(cut, other) == pytest.approx(expected, rel=1e-4)
    assert p_of_intervals(one, of(1.0)) is None


def test_two_runs_of_one_bundle_are_seldom_called_different() -> None:
    """Two processes differ by a percent, their repetitions by half of one."""
    draw = Random(1)
    called = 0
    for _ in range(200):
        sides = []
        for _ in range(2):
            level = 100 * (1 + draw.gauss(0, 0.01))
            sides.append(of(*(level * (1 + draw.gauss(0, 0.005)) for _ in range(5))))
        found = sampled_ratio(*sides, paired=False)
        assert found is not None
        p_value = p_of_ratio(found, paired=False)
        assert p_value is not None
        called += p_value < 0.05
    assert called <= 10
    assert BETWEEN_PROCESSES < 0.05


def test_latencies_of_tokens_are_no_repetitions() -> None:
    """Hundreds of dependent values would call everything significant."""
    body = {"inter_token_latency_seconds": sampled([0.01, 0.011, 0.012])}
    (figure,) = (f for f in speed_figures(body) if f.quantity.name == "inter_token.median")
    assert figure.samples == ()
    (figure,) = (
        f for f in speed_figures({**body, "in_turns": 3})
        if f.quantity.name == "inter_token.median"
    )  # fmt: skip
    assert len(figure.samples) == 3
