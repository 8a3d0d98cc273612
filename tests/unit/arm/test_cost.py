"""How much emulation computes in a given time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.arm.cost import WINDOWS, extent_for, shortest, turns


@settings(max_examples=50)
@given(st.integers(10**5, 10**10), st.floats(0.5, 600), st.floats(1, 10))
def test_what_is_chosen_fits_and_more_time_computes_no_less(
    size: int, seconds: float, more: float
) -> None:
    found, longer = extent_for(size, seconds), extent_for(size, seconds * more)
    if found is None:
        assert shortest(size).seconds > seconds
        return
    assert found.seconds <= seconds
    assert 1 <= found.windows <= WINDOWS
    assert longer is not None
    tokens = [e.windows * (e.prefill + e.steps) for e in (found, longer)]
    assert tokens == sorted(tokens)


def test_sizes_of_real_programs() -> None:
    a_135m, a_600m, a_4b = 138_500_000, 600_000_000, 2_500_000_000
    assert [e.windows for e in (extent_for(10**6, 30), extent_for(a_135m, 30)) if e] == [4, 2]
    small = extent_for(a_600m, 30)
    assert small is None or small.windows == 1
    assert extent_for(a_4b, 30) is None


def test_levels_run_at_once_where_processors_and_memory_allow() -> None:
    gigabyte = 10**9
    assert turns(3, 10**6, processors=4, memory=gigabyte) == 1
    assert turns(3, 10**6, processors=2, memory=gigabyte) == 2
    assert turns(3, gigabyte, processors=8, memory=4 * gigabyte) == 3
    assert turns(3, gigabyte, processors=8, memory=0) == 3
