"""The Pareto front, against its definition."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.sweep.front import on_front

_RANKS = st.lists(st.tuples(*[st.none() | st.integers(0, 3)] * 3), max_size=8)


@settings(max_examples=50)
@given(_RANKS)
def test_nothing_beats_the_front_and_it_beats_all_others(
    ranks: list[tuple[int | None, ...]],
) -> None:
    front = on_front(ranks)
    used = [i for i in range(3) if any(r[i] is not None for r in ranks)]
    whole = [[r[i] for i in used] for r in ranks]
    known = [i for i, r in enumerate(whole) if used and None not in r]

    def beats(one: int, other: int) -> bool:
        pairs = list(zip(whole[one], whole[other], strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)  # type: ignore[operator]

    for i in range(len(ranks)):
        beaten = i not in known or any(beats(other, i) for other in known)
        assert front[i] != beaten


def test_a_measure_that_nobody_has_does_not_count() -> None:
    assert on_front([(1.0, None), (2.0, None)]) == [True, False]
    assert on_front([(None, None)]) == [False]
