"""Go back in a text by what the program gives out of its state: the same logits must follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llm_export.bundle.proof import ComparisonResult
from llm_export.metrics.comparison import Comparison
from runtime_py.program import Program

_BEFORE, _AFTER = 16, 3
"""Tokens up to the position that is restored, and behind it."""


def compare_restored(program: Program, ids: Sequence[int]) -> ComparisonResult:
    """Logits of the tokens behind a position: after a copy of the state there was put back over
    that of another text, and after going back to a mark, against those of the first time.

    Args:
        program: one that gives out its state.
        ids: of a text, two or more; the first 19 are used.
    """
    text = list(ids[: _BEFORE + _AFTER])
    split = max(1, len(text) - _AFTER)
    before, after = text[:split], text[split:]
    program.reset()
    program.prefill(before)
    furthest, copied = program.copied()
    expected = _fed(program, after)
    program.reset()
    program.prefill(text[::-1][: len(before)])
    program.put(copied, len(before), furthest)
    found = _fed(program, after)
    if program.reset(len(before)) == len(before):
        found += _fed(program, after)
    program.reset()
    comparison = Comparison()
    for logits, same, target in zip(found, expected * 2, [*after[1:], text[0]] * 2, strict=False):
        comparison.add(logits[None], same[None], torch.tensor([target]))
    return comparison.result()


def _fed(program: Program, tokens: Sequence[int]) -> list[Tensor]:
    """Logits [V] of each token."""
    return [program.step([token])[0, -1].float() for token in tokens]
