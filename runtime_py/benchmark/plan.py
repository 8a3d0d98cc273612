"""Which combinations of lengths, depths and threads a benchmark measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.threads import MAX_THREADS

PROMPT, DECODE = 512, 128
"""Tokens that are measured where nothing else is said and the context is long enough."""
_LARGEST = 2**31 - 1

Lengths = int | Sequence[int] | None
"""One number, several, or None: the usual one, or what fits the context."""


class Case(NamedTuple):
    """One combination. A prompt of ``prompt_length`` tokens follows ``depth`` tokens that are in
    the caches already, and ``decode_length`` tokens follow it."""

    prompt_length: int
    decode_length: int
    depth: int

    @property
    def tokens(self) -> int:
        return self.prompt_length + self.decode_length + self.depth

    @property
    def label(self) -> str:
        at = f" at depth {self.depth}" if self.depth else ""
        return f"{self.prompt_length} + {self.decode_length} tokens{at}"


class Wanted(NamedTuple):
    """What was asked for: () is the usual value."""

    prompt_lengths: tuple[int, ...]
    decode_lengths: tuple[int, ...]
    depths: tuple[int, ...]
    threads: tuple[int, ...]


def wanted(
    prompt_length: Lengths, decode_length: Lengths, depth: Lengths, threads: Lengths
) -> Wanted:
    """Raises ArgumentError if one is not whole numbers in its range."""
    return Wanted(
        numbers("prompt_length", prompt_length, least=1),
        numbers("decode_length", decode_length, least=1),
        numbers("depth", depth, least=0),
        numbers("threads", threads, least=1, most=MAX_THREADS),
    )


def numbers(name: str, value: object, *, least: int, most: int = _LARGEST) -> tuple[int, ...]:
    """One or several whole numbers, each once; () for None.

    Raises:
        ArgumentError: it is something else, or one is out of its range.
    """
    if value is None:
        return ()
    several = tuple(value) if isinstance(value, list | tuple) else (value,)
    for each in several:
        if type(each) is not int or not least <= each <= most:
            top = "2**31 - 1" if most == _LARGEST else str(most)
            kind = "a whole number" if len(several) == 1 else "whole numbers"
            raise ArgumentError(f"{name} must be {kind} from {least} to {top}, not {shown(each)}")
    if not several:
        raise ArgumentError(f"{name} must be one or more whole numbers, not {shown(value)}")
    return tuple(dict.fromkeys(several))


def cases(asked: Wanted, context: int | None) -> tuple[list[Case], list[str]]:
    """Every combination, and a line for each length that the context has shortened.

    Args:
        context: tokens; None: any number fits.

    Raises:
        BundleRuntimeError: a combination that was asked for does not fit.
    """
    depths = asked.depths or (0,)
    decodes, prompts = asked.decode_lengths, asked.prompt_lengths
    notes: list[str] = []
    room = _LARGEST if context is None else context - max(depths)
    if not decodes:
        share = room - max(prompts) if prompts else room * DECODE // (PROMPT + DECODE)
        decodes = (min(DECODE, max(1, share)),)
        notes += _note("decode_length", decodes[0], DECODE, context)
    if not prompts:
        prompts = (min(PROMPT, max(1, room - max(decodes))),)
        notes += _note("prompt_length", prompts[0], PROMPT, context)
    made = [Case(*each) for each in product(prompts, decodes, depths)]
    if context is not None:
        _require_fit(made, context)
    return made, notes


def _note(name: str, value: int, usual: int, context: int | None) -> Iterable[str]:
    if value != usual:
        yield f"{name}: {value} instead of {usual}, to fit a context of {context}"


def _require_fit(made: Sequence[Case], context: int) -> None:
    wrong = [case for case in made if case.tokens > context]
    if not wrong:
        return
    first = wrong[0]
    at = f"{first.depth} (depth) + " if first.depth else ""
    more = f", nor do {len(wrong) - 1} other combinations" if len(wrong) > 1 else ""
    raise BundleRuntimeError(
        f"{at}{first.prompt_length} + {first.decode_length} tokens do not fit the context of "
        f"{context}{more}",
        fix="shorter lengths" + (" or depths" if first.depth else ""),
    )
