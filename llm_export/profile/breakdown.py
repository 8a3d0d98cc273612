"""Divide the time of a step among the modules of the model."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_export.compat.etdump import CALLS, STEP, TraceEvent
from llm_export.errors import BundleError
from llm_export.profile.delegate_events import operators_of_events
from llm_export.profile.kinds import DELEGATE, DISPATCH, RUNTIME, WHOLE
from llm_export.profile.measure import Steps
from llm_export.profile.profile_map import NO_MAP, PROFILE_MAP, Call


@dataclass(frozen=True)
class Part:
    """A part of a step. All parts together are the traced step.

    Attributes:
        module: path of the module that it computes; '' is the model itself.
        operator: namespace::name, or the delegate's name.
        event: what the tracer calls it; '' for the time between events.
        kind: one of ``kinds.KINDS``.
        seconds: mean of the quiet steps; below 0 by the clock's resolution at worst.
        bytes: of the weights that it reads.
    """

    module: str
    operator: str
    event: str
    kind: str
    seconds: float
    bytes: int = 0


@dataclass(frozen=True)
class Breakdown:
    """
    Attributes:
        seconds: of a traced step.
        whole: delegate -> how many of them traced no operators, so that their time is not divided.
        unnamed: seconds of operators of delegates that belong to none of the graph; they count for
            the module that contains the delegate.
    """

    parts: tuple[Part, ...]
    seconds: float
    whole: Mapping[str, int]
    unnamed: float


def breakdown(steps: Steps, calls: Mapping[int, Call]) -> Breakdown:
    """Divide the quiet traced steps.

    Args:
        calls: of the method that was traced, from the profile map.

    Raises:
        BundleError: the trace has instructions that the map does not.
    """
    quiet = steps.quiet

    def mean(event: TraceEvent) -> float:
        return statistics.fmean(event.seconds[i] for i in quiet)

    wall = statistics.fmean(steps.traced[i] for i in quiet)
    execute = sum(mean(e) for e in steps.events if e.name == STEP)
    inside: dict[int, list[TraceEvent]] = {}
    for event in steps.events:
        if event.inside:
            inside.setdefault(event.instruction, []).append(event)
    parts: list[Part] = []
    whole: Counter[str] = Counter()
    unnamed = 0.0
    for event in steps.events:
        if event.name not in CALLS or event.inside:
            continue
        call = calls.get(event.instruction)
        if call is None:
            raise BundleError(
                f"the program's instruction {event.instruction} is not in its profile map",
                where=PROFILE_MAP, fix=f"the map is of another program; {NO_MAP}",
            )  # fmt: skip
        own, seconds = call.own, mean(event)
        if own.kind != DELEGATE:
            parts.append(_part(call, event.name, seconds))
        elif event.instruction not in inside:
            whole[own.operator] += 1
            size = sum(one.bytes for one in call.inside)
            parts.append(Part(own.module, own.operator, event.name, WHOLE, seconds, size))
        else:
            found = list(_inside(call, inside[event.instruction], mean))
            unnamed += sum(p.seconds for p in found if p.kind == DELEGATE)
            rest = seconds - sum(p.seconds for p in found)
            parts += [*found, Part(own.module, own.operator, "", DELEGATE, rest)]
    between = execute - sum(part.seconds for part in parts)
    parts.append(Part("", "", "", DISPATCH, between))
    parts.append(Part("", "", "", RUNTIME, wall - execute))
    return Breakdown(tuple(parts), wall, whole, unnamed)


def _part(call: Call, event: str, seconds: float) -> Part:
    own = call.own
    return Part(own.module, own.operator, event, own.kind, seconds, own.bytes)


def _inside(
    call: Call, events: Sequence[TraceEvent], mean: Callable[[TraceEvent], float]
) -> Iterator[Part]:
    """The operators of a delegate. Bytes count once for an operator with several events."""
    names = [event.name for event in events]
    operators = [one.operator for one in call.inside]
    taken: set[int] = set()
    own = call.own
    for event, at in zip(events, operators_of_events(own.operator, names, operators), strict=True):
        if at is None:
            yield Part(own.module, own.operator, event.name, DELEGATE, mean(event))
            continue
        one = call.inside[at]
        size = 0 if at in taken else one.bytes
        taken.add(at)
        yield Part(one.module, one.operator, event.name, one.kind, mean(event), size)
