"""Whether two figures differ by more than chance.

Speeds are compared by their repetitions (``llm_export.metrics.ratio``). Repetitions of one process
say nothing of what differs from one process to the next (Kalibera and Jones 2013,
doi:10.1145/2464157.2464160), so a difference within ``BETWEEN_PROCESSES`` is no finding unless both
were measured in turns, each turn in a process of its own.

Means over positions are compared by their 95 % intervals, as independent means. Both programs read
the same text, so their errors are usually correlated and the test errs on the safe side. The
half-width of an interval over 1.96 is taken for the standard error: for intervals of Student's t
that is more than it.

Several comparisons at once: Holm 1979, Scandinavian Journal of Statistics 6, pages 65 to 70.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from llm_export.compare.figure import Figure
from llm_export.compare.quality_figures import NORMAL
from llm_export.metrics.interval import LEVEL
from llm_export.metrics.ratio import Ratio, paired_ratio, ratio

BETWEEN_PROCESSES = 0.03
"""The share by which two processes of one program may differ on an idle machine."""
ALPHA = 1 - LEVEL


def sampled_ratio(new: Figure, base: Figure, *, paired: bool) -> Ratio | None:
    """Of the figures' samples; None where one has none."""
    if not new.samples or not base.samples:
        return None
    if paired and len(new.samples) == len(base.samples):
        return paired_ratio(new.samples, base.samples)
    return ratio(new.samples, base.samples)


def p_of_ratio(found: Ratio, *, paired: bool) -> float | None:
    return found.p_value(0.0 if paired else BETWEEN_PROCESSES)


def p_of_intervals(new: Figure, base: Figure) -> float | None:
    """None where one has no interval."""
    errors = [_error(figure) for figure in (new, base)]
    if errors[0] is None or errors[1] is None:
        return None
    error, distance = math.hypot(errors[0], errors[1]), abs(new.value - base.value)
    if not error:
        return 0.0 if distance else 1.0
    return math.erfc(distance / error / math.sqrt(2))


def _error(figure: Figure) -> float | None:
    """The standard error. Bounds cut an interval on one side: the longer side counts."""
    between = figure.interval
    if between is None:
        return None
    return max(between.high - figure.value, figure.value - between.low, 0.0) / NORMAL


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Name -> p-value adjusted so that with all of them below ``ALPHA`` called significant, the
    chance of any false call is ``ALPHA`` at most."""
    adjusted: dict[str, float] = {}
    least = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for index, name in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - index) * p_values[name]))
        adjusted[name] = least
    return adjusted
