"""How many tokens emulation can compute in a given time.

QEMU's translated code takes a time for each byte of weights; the factors are of SmolLM2-135M with
8-bit weights, 138 MB, on one core of 2.6 GHz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_LOAD, _TOKEN = 20e-9, 6e-9
"""Seconds per byte of the program: to load it, where weights are packed, and for each token."""
_START = 0.3

PREFILL, STEPS, WINDOWS = 8, 4, 4
"""Tokens of a prompt, single steps after it, and most windows of text."""
_FEWEST = (4, 2)


@dataclass(frozen=True)
class Extent:
    """
    Attributes:
        prefill: tokens of each window's prompt.
        steps: single tokens after it.
        seconds: predicted, for one level of processor features.
    """

    windows: int
    prefill: int
    steps: int
    seconds: float


def extent_for(program_bytes: int, seconds: float) -> Extent | None:
    """The most windows that fit; None if not even one short window does."""
    for windows in range(WINDOWS, 0, -1):
        found = extent(program_bytes, windows, PREFILL, STEPS)
        if found.seconds <= seconds:
            return found
    least = shortest(program_bytes)
    return least if least.seconds <= seconds else None


def shortest(program_bytes: int) -> Extent:
    """One window, as short as is still a prompt and steps."""
    return extent(program_bytes, 1, *_FEWEST)


def extent(program_bytes: int, windows: int, prefill: int, steps: int) -> Extent:
    tokens = windows * (prefill + steps)
    seconds = _START + program_bytes * (_LOAD + _TOKEN * tokens)
    return Extent(windows, prefill, steps, seconds)


def turns(levels: int, program_bytes: int, processors: int, memory: int) -> int:
    """How often as many levels as may run at once must do so for all to have run.

    A process holds the file's pages and its packed weights.
    """
    at_once = max(1, min(levels, processors, memory // max(1, 3 * program_bytes)))
    return math.ceil(levels / at_once)
