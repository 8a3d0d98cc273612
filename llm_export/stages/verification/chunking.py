"""Feed a recurrent program the same text in different ways: its state must come out the same.

A chunk is computed by other operations than single tokens, and a state that a reset leaves behind
would not be seen in a text that is fed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from llm_export.bundle.proof import ComparisonResult
from llm_export.metrics.comparison import Comparison
from runtime_py.program import Program

_TOKENS = 80
_UNEVEN = (1, 7, 64)
"""Tokens of the chunks; the rest follows as one more."""
_FIRST = (1, 1, 1, 1)
"""After a reset the first tokens tell most: a short convolution forgets in a few."""

Chunks = Iterator[tuple[int, Tensor]]
"""(tokens fed so far, logits [V] of the last one)"""


def compare_chunkings(program: Program, ids: Sequence[int]) -> ComparisonResult:
    """Logits of a text fed token by token, against those of the same text in as few chunks as may
    be, in uneven chunks, after going back within the text, and after another text.

    Args:
        ids: of a text; the first 81 are used, or as many as the context holds and one more.
    """
    used = min(_TOKENS, program.context_length)
    text, targets = list(ids[:used]), [*ids[1 : used + 1], 0]
    ways: tuple[Callable[[], Chunks], ...] = (
        lambda: _in_chunks(program, text, ()),
        lambda: _in_chunks(program, text, _UNEVEN),
        lambda: _gone_back(program, text),
        lambda: _after_another(program, text),
    )
    found = [(count, logits) for way in ways for count, logits in _fed(program, way)]
    wanted = {count for count, _ in found}
    single = _fed(program, lambda: _in_chunks(program, text, (1,) * len(text)))
    expected = {count: logits for count, logits in single if count in wanted}
    comparison = Comparison()
    for count, logits in found:
        target = torch.tensor([targets[count - 1]])
        comparison.add(logits[None], expected[count][None], target)
    return comparison.result()


def _fed(program: Program, way: Callable[[], Chunks]) -> Chunks:
    """What ``way`` gives from an empty cache, which is left empty."""
    program.reset()
    for count, logits in way():
        yield count, logits.float()
    program.reset()


def _in_chunks(program: Program, text: list[int], sizes: Sequence[int], start: int = 0) -> Chunks:
    for size in (*sizes, len(text)):
        chunk = text[start : start + size]
        if chunk:
            start += len(chunk)
            yield start, program.prefill(chunk)


def _gone_back(program: Program, text: list[int]) -> Chunks:
    """Go back to the middle, or to where the program can go back to."""
    program.prefill(text)
    yield from _in_chunks(program, text, _FIRST, program.reset(len(text) // 2))


def _after_another(program: Program, text: list[int]) -> Chunks:
    program.prefill(text[::-1])
    program.reset()
    yield from _in_chunks(program, text, _FIRST)
