"""Evaluate models on a text: all metrics of ``llm_export.metrics``, over all positions and by
position.

The text is split into windows of equal length, each read from an empty cache, with BOS before it if
the model expects one. The program is fed token by token, as it generates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from llm_export.config.schema import filled
from llm_export.errors import InputError
from llm_export.evaluation.base import EvaluationTask, Request, Subject
from llm_export.evaluation.eval_text import read_text
from llm_export.evaluation.results import FLOAT, Score, Span
from llm_export.evaluation.word_spans import covered
from llm_export.metrics import columns
from llm_export.metrics.comparison import Comparison, ComparisonResult
from llm_export.metrics.kept_logits import KeptLogits
from llm_export.metrics.value import REFERENCE, Value

_FIRST_SPAN, _GROWTH = 16, 4
"""Spans of positions end before 16, 64, 256, 1024 ... tokens."""


@dataclass(frozen=True)
class Window:
    """``ids`` are fed; ``targets`` [P] follow the last P of them."""

    ids: list[int]
    targets: Tensor
    words: Tensor
    bytes: Tensor

    @property
    def first(self) -> int:
        """Index of the first id after which the model is asked."""
        return len(self.ids) - len(self.targets)


def windows_of(
    ids: Sequence[int],
    words: Sequence[int],
    sizes: Sequence[int],
    *,
    length: int,
    positions: int,
    bos: int | None,
) -> list[Window]:
    """Consecutive windows for at least ``positions`` positions, or as many as the text has.

    Args:
        length: tokens that a window feeds, BOS included.
        bos: put before each window; without it a window's first token is only context.
    """
    made: list[Window] = []
    count = 0
    for start in range(0, len(ids), length):
        if count >= positions:
            break
        if bos is None:
            # The next window begins with the last target, so that each token is predicted once.
            fed, part = ids[start : start + length], slice(start + 1, start + length + 1)
            fed = fed[: len(ids[part])]
        else:
            part = slice(start, start + length)
            fed = [bos, *ids[part][:-1]]
        if not fed:
            break
        made.append(Window(list(fed), *(torch.tensor(x[part]) for x in (ids, words, sizes))))
        count += len(fed)
    return made


class TextEvaluator:
    """See the module. The float model's logits wait on disk for the other models."""

    def __init__(self, request: Request) -> None:
        settings, tokenizer = request.settings, request.tokenizer
        text = read_text(settings.text)
        bos = tokenizer.bos_id if tokenizer.add_bos else None
        self._windows = windows_of(
            *covered(request.tokenizer_file, text), length=filled(settings.window),
            positions=settings.positions, bos=bos,
        )  # fmt: skip
        if not self._windows:
            raise InputError(
                "the text has no two tokens", where="evaluate.text", fix="a longer text"
            )
        self._progress = request.progress
        self._kept: KeptLogits | None = None
        self._folder = request.folder
        name = "the shipped text" if settings.text is None else Path(settings.text).name
        size = sum(len(window.targets) for window in self._windows)
        self.about = (
            f"{size} positions of {name} in windows of {filled(settings.window)} tokens"
            f"{' that begin with BOS' if bos is not None else ''}. Perplexity is per token of this "
            "tokenizer; per word it is normalized by the words of the text, as in "
            "lm-evaluation-harness. KL, agreement and differences are to the float32 model."
        )
        # Values of the reference alone are a row of their own here.
        self.columns: tuple[Value, ...] = tuple(
            column for column in columns() if not column.name.startswith(REFERENCE)
        )

    def score(self, subject: Subject) -> Score:
        reference = self._kept
        alone = reference is None
        keeping = KeptLogits(self._folder) if alone and subject.layer == FLOAT else None
        whole, spans = Comparison(), Spans()
        for index, window in enumerate(self._windows):
            at = 0
            kept: list[Tensor] = []
            wanted = None if reference is None else reference[index]
            for rows in subject.rows(window.ids, window.first):
                some = slice(at, at + len(rows))
                other = rows if wanted is None else wanted[some]
                given = rows, other, window.targets[some], window.words[some], window.bytes[some]
                whole.add(*given)
                spans.add(window.first + at + 1, *given)
                if keeping is not None:
                    kept.append(rows)
                at += len(rows)
            whole.end_window()
            if keeping is not None:
                keeping.add(torch.cat(kept))
            self._progress(index + 1, len(self._windows))
        if keeping is not None:
            self._kept = keeping  # only now: a model that fails midway is no reference
        total = whole.result()
        shown = {c.name for c in self.columns if c.alone or not alone}
        intervals = {k: v for k, v in (total.intervals or {}).items() if k in shown}
        return Score(
            subject.layer, total.positions, _of(total, shown),
            intervals=intervals or None, spans=tuple(spans.results(shown)),
        )  # fmt: skip

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


class Spans:
    """The metrics by the number of tokens before a position."""

    def __init__(self) -> None:
        self._parts: dict[int, Comparison] = {}

    def add(self, position: int, *given: Tensor) -> None:
        """
        Args:
            position: tokens before the first target.
            given: the arguments of ``Comparison.add``.
        """
        count, done = len(given[0]), 0
        while done < count:
            index = _span(position + done)
            size = min(count - done, _end(index) - (position + done))
            part = self._parts.setdefault(index, Comparison())
            part.add(*(each[done : done + size] for each in given))
            done += size

    def results(self, names: set[str]) -> Iterator[Span]:
        for index, part in sorted(self._parts.items()):
            found = part.result()
            start = 1 if index == 0 else _end(index - 1)
            yield Span(start, _end(index) - 1, found.positions, _of(found, names))


def _span(position: int) -> int:
    index = 0
    while position >= _end(index):
        index += 1
    return index


def _end(index: int) -> int:
    return int(_FIRST_SPAN * math.pow(_GROWTH, index))


def _of(found: ComparisonResult, names: set[str]) -> dict[str, float]:
    return {name: value for name, value in found.values.items() if name in names}


TASK = EvaluationTask("text", TextEvaluator)
