"""Changes in words."""

from __future__ import annotations

import pytest

from llm_export.compare.sentence import changed
from llm_export.metrics.interval import Interval


@pytest.mark.parametrize(
    ("ratio", "between", "said"),
    [
        (1.12, (1.09, 1.15), "12% (9 to 15%) faster"),
        (0.88, (0.85, 0.91), "12% (9 to 15%) slower"),
        (0.994, None, "0.6% slower"),
        (1.01, (0.97, 1.05), "1% (3% slower to 5% faster) faster"),
        (2.31, (2.1, 2.5), "2.3 times (2.1 to 2.5) as fast"),
        (1.0, None, "as fast"),
        (0.4, None, "0.4 times as fast"),
        (282.3, (99.4, 300.0), "282 times (99 to 300) as fast"),
    ],
)
def test_a_change(ratio: float, between: tuple[float, float] | None, said: str) -> None:
    interval = None if between is None else Interval(*between)
    assert changed(ratio, interval, "faster", "slower", "as fast") == said
