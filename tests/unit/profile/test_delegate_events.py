"""Events of a delegate, aligned with the operators of its graph."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.backends.trace_names import TRACE_NAMES
from llm_export.profile.delegate_events import event_kind, operators_of_events

BACKEND = "XnnpackBackend"
NAMES = TRACE_NAMES[BACKEND]
OPERATORS = sorted({name for names in NAMES.values() for name in names})


def aligned(events: list[str], operators: list[str]) -> list[int | None]:
    return list(operators_of_events(BACKEND, events, [f"aten::{o}" for o in operators]))


def test_fused_and_dropped_operators_are_skipped() -> None:
    quantized = "Fully Connected (NC, QDU8, F32, QC8W) GEMM #1"
    events = ["Square (NC) #1", "Fully Connected (NC, F32) GEMM #1", "Multiply (ND) #1", quantized,
              "Static Reshape (NC) #1"]  # fmt: skip
    operators = ["pow", "linear", "rsqrt", "mul", "choose_qparams_affine", "quantize_affine",
                 "dequantize_affine", "linear", "view_copy", "clone"]  # fmt: skip
    assert aligned(events, operators) == [0, 1, 3, 7, 8]


def test_one_operator_may_have_several_events() -> None:
    assert aligned(["Copy (NC, X32) #1", "Copy (NC, X32) #2"], ["cat"]) == [0, 0]
    assert aligned(["Copy (NC, X32) #1", "Copy (NC, X32) #2"], ["cat", "cat"]) == [0, 1]


def test_what_matches_nothing_belongs_to_nothing() -> None:
    assert aligned(["Sigmoid (NC) #1", "Multiply (ND) #1"], ["mul"]) == [None, 0]
    assert operators_of_events("AnotherBackend", ["Multiply (ND) #1"], ["aten::mul"]) == (None,)
    assert aligned([], ["mul"]) == []


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(NAMES)), max_size=12),
       st.lists(st.sampled_from(OPERATORS), max_size=12))  # fmt: skip
def test_in_order_and_only_what_may_be(events: list[str], operators: list[str]) -> None:
    found = aligned([f"{event} (NC) #1" for event in events], operators)
    assert len(found) == len(events)
    given_to = [at for at in found if at is not None]
    assert given_to == sorted(given_to)
    for event, at in zip(events, found, strict=True):
        assert event_kind(f"{event} (NC, F32) #3") == event
        assert at is None or operators[at] in NAMES[event]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(NAMES)), max_size=12))
def test_a_graph_that_holds_all_names_all(events: list[str]) -> None:
    """Whatever other operators stand between."""
    operators = []
    for event in events:
        operators += ["choose_qparams_affine", sorted(NAMES[event])[0]]
    assert None not in aligned([f"{event} (NC)" for event in events], operators)
