"""What ExecuTorch's event tracer recorded (ETDump).

``Inspector`` reads it, but keeps the index of an event's instruction in a private field. Without an
ETRecord, which has only graphs of the whole model, the index alone tells where an event belongs.
Written for executorch 1.5.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLS = {"OPERATOR_CALL", "DELEGATE_CALL"}
"""Names of the events of a whole instruction that calls a kernel or a delegate."""
STEP = "Method::execute"
"""Name of the event of a whole step."""


@dataclass(frozen=True)
class TraceEvent:
    """
    Attributes:
        instruction: index in the method's plan.
        inside: whether a delegate recorded it of one of its operators.
        seconds: of each step.
    """

    name: str
    instruction: int
    inside: bool
    seconds: tuple[float, ...]


def read_trace(path: Path) -> list[TraceEvent]:
    """The events of the steps, in the order in which they began in the first one. Where not all
    steps took the same branches, those of the most frequent way.
    """
    from executorch.devtools import Inspector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses a buffer with the values of tensors
        blocks = Inspector(etdump_path=str(path)).event_blocks
    ways = [block.events for block in blocks if any(e.name == STEP for e in block.events)]
    events = [e for e in max(ways, key=_steps, default=[]) if e.perf_data is not None]
    events.sort(key=lambda e: (e.start_time or [0])[0])
    return [
        TraceEvent(e.name, e._instruction_id, bool(e.is_delegated_op), _seconds(e.perf_data))
        for e in events
    ]


def _seconds(data: Any) -> tuple[float, ...]:
    return tuple(milliseconds / 1e3 for milliseconds in data.raw)


def _steps(events: list[Any]) -> int:
    return max(len(e.perf_data.raw) for e in events if e.perf_data is not None)
