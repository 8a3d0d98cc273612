"""The difference of two bundles in a sentence, and single changes in words."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.compare.comparison import Comparison
from llm_export.compare.row import Row
from llm_export.metrics.interval import Interval

_RATES = (("decode", "decode"), ("prefill", "prefill"), ("ttft", "the first token"))
_TIMES = 2.0
"""From this ratio on, or its inverse, a change is told as a multiple."""


def sentence(found: Comparison) -> str:
    """Like: B is 12% (9 to 15%) faster at decode, 8% smaller; mean KL 0.0095 against 0.54."""
    first = list(_clauses(found))
    parts = [f"B is {', '.join(first)}"] if first else []
    parts += list(_quality(found))
    return "; ".join(parts) or "nothing of A and B can be compared"


def _clauses(found: Comparison) -> Iterator[str]:
    alike = []
    for name, title in _RATES:
        row = found.row(f"{name}.median") or found.row(f"{name}.p50")
        if row is None or row.ratio is None:
            continue
        if name == "ttft" and found.row("prefill.median"):
            continue  # of the same times
        if row.significant is False:
            alike.append(f"{title}{_range(row)}")
        else:
            why = f" ({_reason(row)})" if row.obstacle else ""
            yield f"{_faster(row)} at {title}{why}"
    memory = found.row("memory.peak")
    size = found.row("size.program")
    if size is not None and size.ratio is not None:
        yield _sized(size.ratio, "smaller", "larger", "of the same size")
    if memory is not None and memory.ratio is not None and memory.obstacle.startswith("not comp"):
        memory = None
    if memory is not None and memory.ratio is not None and abs(memory.ratio - 1) >= 0.05:
        less = memory.ratio < 1
        yield f"{_percent(abs(memory.ratio - 1))} {'lower' if less else 'higher'} in peak memory"
    if alike:
        yield f"not significantly different at {' and '.join(alike)}"


def _quality(found: Comparison) -> Iterator[str]:
    for row in found.of("quality"):
        if row.base is None or row.new is None or row.quantity.shown.higher_is_better is None:
            continue
        if not row.method:
            continue
        text = row.quantity.shown.short
        doubt = " (not significant)" if row.differs is False else ""
        if row.obstacle.startswith("not comp"):
            doubt = f" ({row.obstacle})"
        name = row.quantity.shown.heading
        yield f"{name} {text(row.new.value)} against {text(row.base.value)}{doubt}"
    base, new = found.verdicts
    if base and new:
        yield f"verdict {new}" if base == new else f"verdict {new} against {base}"


def _reason(row: Row) -> str:
    """The first reason why nothing can be claimed."""
    kind, _, reasons = row.obstacle.partition(": ")
    return f"{kind}: {reasons.split(', ')[0]}" if reasons else kind


def _faster(row: Row) -> str:
    return changed(*_as_speed(row), "faster", "slower", "as fast")


def _range(row: Row) -> str:
    """What a difference that is not significant may be: (2% slower to 3% faster)."""
    _, between = _as_speed(row)
    if between is None:
        return ""
    low, high = between.low, between.high
    if low < 1 < high or high >= _TIMES or low <= 1 / _TIMES:
        ends = (changed(end, None, "faster", "slower", "as fast") for end in (low, high))
        return f" ({' to '.join(ends)})"
    near, far = sorted(abs(end - 1) for end in (low, high))
    return f" ({_percent(near)[:-1]} to {_percent(far)} {'faster' if low >= 1 else 'slower'})"


def _as_speed(row: Row) -> tuple[float, Interval | None]:
    """The ratio of speeds and its interval, also where the row is of times."""
    assert row.ratio is not None
    between, ratio = row.interval, row.ratio
    if row.quantity.shown.higher_is_better:
        return ratio, between
    return 1 / ratio, between and Interval(1 / between.high, 1 / between.low)


def changed(ratio: float, between: Interval | None, more: str, less: str, times: str) -> str:
    """``ratio`` as a change: 12% (9 to 15%) faster, 2.3 times (2.1 to 2.4) as fast."""
    if ratio >= _TIMES or ratio <= 1 / _TIMES:
        interval = f" ({_times(between.low)} to {_times(between.high)})" if between else ""
        return f"{_times(ratio)} times{interval} {times}"
    word = more if ratio >= 1 else less
    if between is None:
        share = _percent(abs(ratio - 1))
        return times if share == _percent(0) else f"{share} {word}"
    sides = (between.low - 1, between.high - 1)
    if sides[0] < 0 < sides[1]:
        return (
            f"{_percent(abs(ratio - 1))} ({_percent(-sides[0])} {less} to {_percent(sides[1])} "
            f"{more}) {word}"
        )
    low, high = sorted(abs(side) for side in sides)
    return f"{_percent(abs(ratio - 1))} ({_percent(low)[:-1]} to {_percent(high)}) {word}"


def _sized(ratio: float, less: str, more: str, same: str) -> str:
    if ratio == 1:
        return same
    share = abs(ratio - 1)
    shown = "less than 0.1%" if share < 0.001 else _percent(share)
    return f"{shown} {less if ratio < 1 else more}"


def _times(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share < 0.0095 else f"{100 * share:.0f}%"
