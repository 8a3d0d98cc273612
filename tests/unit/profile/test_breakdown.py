"""The events of a step, divided among modules."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.compat.etdump import STEP, TraceEvent
from llm_export.errors import BundleError
from llm_export.profile.breakdown import breakdown
from llm_export.profile.measure import Steps
from llm_export.profile.profile_map import Call, Operation

LINEAR = Operation("aten::linear", "layers.0.down", "linear", 100)
CALLS = {
    0: Call(Operation("aten::add", "embed", "elementwise")),
    2: Call(Operation("XnnpackBackend", "layers.0", "delegate"), (LINEAR,)),
    3: Call(Operation("AnotherBackend", "layers.1", "delegate"), (LINEAR,)),
}


def steps(*events: tuple[str, int, bool, tuple[float, ...]], wall: tuple[float, ...]) -> Steps:
    return Steps((0.9,) * len(wall), wall, tuple(TraceEvent(*event) for event in events))


TRACE = steps(
    ("OPERATOR_CALL", 0, False, (0.1, 9.0)),
    ("DELEGATE_CALL", 2, False, (0.5, 9.0)),
    ("Fully Connected (NC, F32) GEMM #1", 2, True, (0.3, 9.0)),
    ("Unheard Of (NC) #1", 2, True, (0.1, 9.0)),
    ("DELEGATE_CALL", 3, False, (0.2, 9.0)),
    (STEP, -1, False, (0.9, 30.0)),
    wall=(1.0, 31.0),
)


def test_a_step() -> None:
    """The slower step does not count; a delegate without events inside is not divided."""
    found = breakdown(TRACE, CALLS)
    told = {(p.module, p.kind, p.event.partition(" (")[0]): p for p in found.parts}
    expected = {
        ("embed", "elementwise", "OPERATOR_CALL"): 0.1,
        ("layers.0.down", "linear", "Fully Connected"): 0.3,
        ("layers.0", "delegate", "Unheard Of"): 0.1,
        ("layers.0", "delegate", ""): 0.1,
        ("layers.1", "whole_delegate", "DELEGATE_CALL"): 0.2,
        ("", "dispatch", ""): 0.1,
        ("", "runtime", ""): 0.1,
    }
    assert {key: pytest.approx(part.seconds) for key, part in told.items()} == expected
    assert told["layers.0.down", "linear", "Fully Connected"].bytes == 100
    assert told["layers.1", "whole_delegate", "DELEGATE_CALL"].bytes == 100
    assert found.whole == {"AnotherBackend": 1}
    assert found.unnamed == pytest.approx(0.1)
    assert found.seconds == 1.0


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 6), min_size=1, max_size=5))
def test_the_parts_are_the_step_whatever_the_clock_says(times: list[tuple[float, ...]]) -> None:
    columns = [tuple(row[i] for row in times) for i in range(6)]
    events = tuple(
        TraceEvent(e.name, e.instruction, e.inside, column)
        for e, column in zip(TRACE.events, columns, strict=True)
    )
    wall = tuple(sum(row) for row in times)
    found = breakdown(Steps(wall, wall, events), CALLS)
    assert sum(p.seconds for p in found.parts) == pytest.approx(found.seconds, abs=1e-9)


@pytest.mark.parametrize("calls", [{}, {0: CALLS[0], 2: CALLS[2]}])
def test_a_map_of_another_program(calls: Mapping[int, Call]) -> None:
    with pytest.raises(BundleError, match=r"instruction \d is not in its profile map") as caught:
        breakdown(TRACE, calls)
    assert "the map is of another program" in str(caught.value.fix)
