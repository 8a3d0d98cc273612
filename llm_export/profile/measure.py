"""Measure steps of a program with and without the tracer, in turns."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_export.compat.etdump import TraceEvent, read_trace
from llm_export.profile.traced_program import Traced, TracedProgram
from runtime_py.program import Program

_ROUNDS = 6
_LEAST, _MOST = 18, 90
"""Steps of each kind in all rounds."""
_QUIET = 4
"""One of so many steps counts."""
_SECONDS = 4.0
"""What the steps of each kind may take in all rounds, beyond the fewest."""


@dataclass(frozen=True)
class Steps:
    """
    Attributes:
        plain: seconds of each step without the tracer.
        traced: seconds of each step with it.
        events: of the traced steps.
    """

    plain: tuple[float, ...]
    traced: tuple[float, ...]
    events: tuple[TraceEvent, ...]

    @property
    def quiet(self) -> tuple[int, ...]:
        """The fastest quarter of the traced steps, which other processes disturbed least."""
        order = sorted(range(len(self.traced)), key=self.traced.__getitem__)
        return tuple(sorted(order[: -(-len(order) // _QUIET)]))

    @property
    def seconds(self) -> float:
        """Mean of the fastest quarter of the steps without the tracer."""
        return statistics.fmean(sorted(self.plain)[: -(-len(self.plain) // _QUIET)])


def measure_steps(
    plain: Program, traced: TracedProgram, tokens: Sequence[int], depth: int
) -> Steps:
    """Feed ``tokens`` as one step at position ``depth``, again and again. The content of the caches
    does not affect the time.

    Raises:
        MissingDependencyError: this build of ExecuTorch has no tracer.
        BundleRuntimeError: a step fails.
    """

    def step(program: Program) -> float:
        return _timed(program, tokens, depth)

    return measure_turns(lambda: step(plain), lambda: step(traced), traced)


def measure_turns(
    plain: Callable[[], float], traced: Callable[[], float], program: Traced
) -> Steps:
    """
    Args:
        plain, traced: run a step without and with the tracer; the seconds that it took.
        program: the traced one.

    Raises:
        MissingDependencyError: this build of ExecuTorch has no tracer.
        BundleRuntimeError: a step fails.
    """
    first = max(step() for step in (plain, traced))
    first = min(first, plain())
    each = min(_MOST, max(_LEAST, int(_SECONDS / first))) // _ROUNDS
    found: tuple[list[float], list[float]] = ([], [])
    kept: list[int] = []
    recorded = 1
    for _ in range(_ROUNDS):
        for step, times in zip((plain, traced), found, strict=True):
            # The other program's weights are in the processor's caches.
            step()
            times += [step() for _ in range(each)]
        kept += range(recorded + 1, recorded + 1 + each)
        recorded += 1 + each
    with tempfile.TemporaryDirectory() as folder:
        program.write_trace(Path(folder) / "trace.etdp")
        events = read_trace(Path(folder) / "trace.etdp")
    complete = [e for e in events if len(e.seconds) == recorded]
    events = [
        TraceEvent(e.name, e.instruction, e.inside, tuple(e.seconds[i] for i in kept))
        for e in complete
    ]
    return Steps(tuple(found[0]), tuple(found[1]), tuple(events))


def _timed(program: Program, tokens: Sequence[int], depth: int) -> float:
    program.position = depth
    begin = time.perf_counter()
    program.step(tokens)
    return time.perf_counter() - begin
