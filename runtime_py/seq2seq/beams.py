"""Beam search, as transformers 5 has it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime_py.sampling.threads import one_thread
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.seq2seq.rules import Rule, ruled
from runtime_py.seq2seq.search import Found, Search, longest

_NOTHING = -1e9
"""Score in the place of a beam or an answer that is not there."""


@dataclass(frozen=True)
class _Beam:
    """A sequence that is followed: its generated tokens and the sum of their log-probabilities."""

    tokens: tuple[int, ...]
    logprob: float


def beam_search(
    model: EncoderDecoder,
    prompt: Sequence[int],
    rules: Iterable[Rule],
    eos_ids: Iterable[int],
    search: Search,
    never: Tensor | None = None,
) -> list[Found]:
    """The answers that were found, best first: as many as there are beams, or fewer.

    Follows ``GenerationMixin._beam_search`` of transformers: of all continuations of all beams the
    best ``beams * max(2, 1 + number of eos ids)`` are looked at; those that end are answers if
    they are among the best ``beams``; the best others are followed.

    Args:
        never: ids that are not generated.
    """
    rules, ends = tuple(rules), frozenset(eos_ids)
    most, count = longest(model, prompt, search), search.beams
    kept = max(2, 1 + len(ends)) * count
    beams = [_Beam((), 0.0)]
    found: list[Found] = []
    improvable = True
    for length in range(1, most + 1):
        candidates = _candidates(model, list(prompt), beams, rules, kept, never)
        hits = [each.tokens[-1] in ends or length == most for each in candidates]
        followed = [b for b, hit in zip(candidates, hits, strict=True) if not hit][:count]
        full = len(found) == count and search.early_stopping is True
        if improvable and not full:
            best = zip(candidates[:count], hits[:count], strict=True)
            found += [_answer(beam, ends, length, search) for beam, hit in best if hit]
            found = sorted(found, key=lambda each: -each.score)[:count]
        improvable = improvable and _improvable(followed, found, length, most, search)
        full = len(found) == count and search.early_stopping is True
        if not improvable or full or not followed:
            break
        beams = followed
    return found


def _candidates(
    model: EncoderDecoder,
    prompt: list[int],
    beams: Sequence[_Beam],
    rules: Sequence[Rule],
    kept: int,
    never: Tensor | None,
) -> list[_Beam]:
    """The best continuations of all beams, best first."""
    scores: list[Tensor] = [torch.empty(0)] * len(beams)
    # In the order of their tokens neighbours have the most in common, and only what differs from
    # the previous sequence is fed.
    for i in sorted(range(len(beams)), key=lambda i: beams[i].tokens):
        logits = model.logits(prompt + list(beams[i].tokens))
        with one_thread():
            row = torch.log_softmax(logits, dim=-1)
            if never is not None:
                row = row.index_fill(0, never, -math.inf)
            scores[i] = ruled(rules, beams[i].tokens, row) + beams[i].logprob
    with one_thread():
        flat = torch.cat(scores)
        values, indices = torch.topk(flat, min(kept, len(flat)))
    vocabulary = len(scores[0])
    return [
        _Beam((*beams[index // vocabulary].tokens, index % vocabulary), value)
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        if value > -math.inf
    ]


def _answer(beam: _Beam, ends: frozenset[int], length: int, search: Search) -> Found:
    finish = "eos" if beam.tokens[-1] in ends else "length"
    score = beam.logprob / length**search.length_penalty
    return Found(beam.tokens, beam.logprob, score, finish)


def _improvable(
    followed: Sequence[_Beam], found: Sequence[Found], length: int, most: int, search: Search
) -> bool:
    """Whether the best beam could still become a better answer than the worst one found."""
    if len(found) < search.beams:
        return True
    if not followed:
        return False
    to_the_end = search.early_stopping == "never" and search.length_penalty > 0
    possible = followed[0].logprob / (most if to_the_end else length) ** search.length_penalty
    return possible > min(each.score for each in found)
