"""Choose an answer: token by token (greedy or sampled), or by beam search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, check_whole, shown
from runtime_py.sampling import Sampler, Sampling
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.seq2seq.rules import Rule, ruled

MAX_BEAMS = 64


@dataclass(frozen=True)
class Search:
    """How an answer is searched for.

    Attributes:
        sampling: temperature and the like; ``max_new_tokens`` is the most tokens of an answer.
        seed: of sampling; None: another one each time.
        beams: number of sequences that are followed at once; 1 is greedy or sampled.
        length_penalty: the exponent of an answer's length by which the sum of its log-probabilities
            is divided; more than 0 prefers long answers.
        early_stopping: True ends a search at as many answers as there are beams; False, when the
            best beam cannot become better at its present length; "never", when it cannot become
            better at all.

    Raises:
        ArgumentError: a value is out of its range.
    """

    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None
    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        check_whole("beams", self.beams, 1)
        if self.beams > MAX_BEAMS:
            raise ArgumentError(f"beams must be at most {MAX_BEAMS}, not {self.beams}")
        if self.beams > 1 and self.sampling.temperature > 0:
            raise ArgumentError(
                f"a search with {self.beams} beams does not sample", fix="temperature=0, or beams=1"
            )
        for name in ("repetition_penalty", "presence_penalty", "frequency_penalty"):
            value = getattr(self.sampling, name)
            if self.beams > 1 and value != getattr(Sampling, name):
                raise ArgumentError(
                    f"a search with {self.beams} beams has no {name}, which is {value}",
                    fix=f"{name}={getattr(Sampling, name)}, or beams=1",
                )
        if type(self.length_penalty) not in (int, float) or not abs(self.length_penalty) < 100:
            raise ArgumentError(
                "length_penalty must be a number from -100 to 100, not "
                f"{shown(self.length_penalty)}"
            )
        if self.early_stopping not in (True, False, "never"):
            raise ArgumentError(
                f"early_stopping must be true, false or never, not {shown(self.early_stopping)}"
            )


@dataclass(frozen=True)
class Token:
    """A chosen token, and its log-probability before temperature and truncation."""

    id: int
    logprob: float


@dataclass(frozen=True)
class Found:
    """An answer: its tokens with the one that ends it, the sum of their log-probabilities, the
    score that beams are ranked by, and why it ended: eos or length."""

    tokens: tuple[int, ...]
    logprob: float
    score: float
    finish: str


def tokens(
    model: EncoderDecoder,
    prompt: Sequence[int],
    rules: Iterable[Rule],
    eos_ids: Iterable[int],
    search: Search,
    never: Tensor | None = None,
) -> Iterator[Token]:
    """Greedy or sampled tokens, up to the one that ends the answer or until it has as many as it
    may have.

    Args:
        prompt: the decoder's first tokens; at least one.
        never: ids that are not generated.
    """
    sampler = Sampler(search.sampling, search.seed, prompt, never)
    rules, ends = tuple(rules), frozenset(eos_ids)
    most = longest(model, prompt, search)
    ids, start = list(prompt), len(prompt)
    while len(ids) - start < most:
        scores = ruled(rules, ids[start:], model.logits(ids))
        token = sampler(scores)
        yield Token(token, float(torch.log_softmax(scores, dim=-1)[token]))
        if token in ends:
            return
        ids.append(token)


def longest(model: EncoderDecoder, prompt: Sequence[int], search: Search) -> int:
    """Most tokens of an answer after a prompt.

    Raises:
        ArgumentError: the prompt alone is too long.
    """
    room = model.target_length - len(prompt)
    if room < 1:
        raise ArgumentError(
            f"the decoder's first {len(prompt)} tokens leave no room for an answer in its "
            f"{model.target_length} positions", fix="a shorter prompt",
        )  # fmt: skip
    # The last token needs no position: nothing follows it.
    return min(search.sampling.max_new_tokens, room)
