"""Fill a program's caches up to a depth, without computing a long text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_py.program import Program

FED, COPIED_FROM = 512, 2048
"""A depth of more than ``COPIED_FROM`` tokens is filled with copies of the keys and values of the
first ``FED`` ones: the time of a step does not depend on what they are, and a text of 32,000 tokens
takes minutes."""


def prompt_of(length: int, vocabulary: int, start: int = 0) -> list[int]:
    """Ids of a prompt. Any will do, since speed does not depend on them; they are spread so that no
    row of the embedding stays in the processor's caches."""
    return [(i * 7919 + 13) % vocabulary for i in range(start, start + length)]


def go_to(program: Program, depth: int, vocabulary: int) -> None:
    """Fill the caches with ``depth`` tokens; those that are there already stay."""
    at = program.reset(min(depth, program.position))
    if depth > COPIED_FROM and at < FED:
        program.prefill(prompt_of(FED - at, vocabulary, at))
        at = program.position
    if at < depth:
        if depth <= COPIED_FROM or not _copied(program, depth):
            program.prefill(prompt_of(depth - at, vocabulary, at))
        program.mark()


def _copied(program: Program, depth: int) -> bool:
    """Whether the slots behind the current position could be filled with copies of the others: of a
    program that gives out its state, and whose caches have a slot for each position."""
    from runtime_py.rows import Rows, SavedRows

    if not program.gives_state:
        return False
    parked = program.parked()
    if parked.changing:
        return False
    rows, count = program.rows(0), program.position
    parts = [
        Rows(start, min(start + count, depth), rows.tensors, rows.slots)
        for start in range(count, depth, count)
    ]
    moved = parked._replace(position=depth, furthest=depth)
    program.resume(moved, SavedRows(parts), count)
    return True
