"""The calls that compute a text are those that the Python runtime makes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.arm.calls import Steps
from runtime_py.program import Program

SHAPES = st.sampled_from(
    [({"forward": 8}, True), ({"forward": 1}, False), ({"forward": 1, "prefill": 4}, False)]
)


class Recorded(Program):
    """Makes no call, and remembers each."""

    def __init__(self, steps: Steps) -> None:
        self.made: list[tuple[str, int, list[int]]] = []
        self.steps, self.dynamic, self.recurrent = (
            dict(steps.lengths),
            steps.dynamic,
            steps.recurrent,
        )
        self.context_length, self._outside, self.position = steps.context_length, None, 0

    def fed(self, tokens: list[int]) -> None:
        name = self._method_for(len(tokens))
        if name is None:
            for token in tokens:
                self.fed([token])
            return
        padding = 0 if self.dynamic else self.steps[name] - len(tokens)
        self.made.append((name, self.position, [*tokens, *[0] * padding]))
        self.position += len(tokens)


@settings(max_examples=50)
@given(SHAPES, st.booleans(), st.integers(8, 12), st.data())
def test_as_the_runtime_makes_them(
    shape: tuple[dict[str, int], bool], recurrent: bool, context: int, data: st.DataObject
) -> None:
    steps = Steps(shape[0], shape[1], recurrent, context)
    window = list(range(1, 1 + data.draw(st.integers(2, context))))
    prefill = data.draw(st.integers(1, len(window)))
    calls = list(steps.calls(window, prefill))
    runtime, longest = Recorded(steps), max(shape[0].values())
    for start in range(0, prefill, longest):
        runtime.fed(window[start : min(start + longest, prefill)])
    for token in window[prefill:]:
        runtime.fed([token])
    assert [(c.method, c.position, list(c.tokens)) for c in calls] == runtime.made
    kept = [call.position + call.row for call in calls if call.row >= 0]
    assert kept == list(range(prefill - 1, len(window)))
    first = calls[0]
    assert first.line().split()[:3] == [first.method, "0", str(first.row)]
