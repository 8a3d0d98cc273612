"""The models that evaluation measures: eager ones, and the program as an app runs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from llm_export.memory import released_between
from llm_export.models.contract import LanguageModel, parts_of
from llm_export.stages.verification.logits import in_slices
from runtime_py.program import Program

_ROWS = 64
"""Positions of logits to hand over at once."""


class EagerSubject:
    """An eager model with a KV cache, or without one where it is fed whole texts only.

    Args:
        chunk: tokens of a step; None is as many as the model takes.
    """

    def __init__(self, layer: str, model: LanguageModel, chunk: int | None = None) -> None:
        self.layer, self._model = layer, model
        self.context_length = model.context_length
        self._chunk = chunk if chunk and chunk > 1 else model.step_length or self.context_length
        self._fed: list[int] = []

    def rows(self, ids: Sequence[int], first: int) -> Iterator[Tensor]:
        ids, at = list(ids), len(self._fed)
        if at > first or ids[:at] != self._fed:  # only a continuation keeps the cache
            at = 0
            self._model.init_buffers()
        self._fed = []  # unknown while something may fail
        while at < len(ids):
            step = ids[at : at + self._chunk]
            with torch.no_grad():
                logits = self._model(torch.tensor([step]), torch.tensor([at]))[0].float()
            yield from logits[max(0, first - at) :].split(_ROWS)
            at += len(step)
        self._fed = ids


@contextlib.contextmanager
def eager_subject(
    layer: str, model: LanguageModel, chunk: int | None = None
) -> Iterator[EagerSubject]:
    """The model with logits of every position, within little memory; its caches are emptied."""
    wanted, model.all_logits = model.all_logits, True
    try:
        with released_between(parts_of(model)), in_slices(model):
            yield EagerSubject(layer, model, chunk)
    finally:
        model.all_logits = wanted
        model.init_buffers()


class ProgramSubject:
    """The program on disk. A position whose logits are wanted is a step of its own, unless the
    program returns those of all positions.

    Args:
        all_logits: whether it does.
    """

    def __init__(self, layer: str, program: Program, *, all_logits: bool) -> None:
        self.layer, self._program, self._all = layer, program, all_logits
        self.context_length = program.context_length
        self._fed: list[int] = []

    def rows(self, ids: Sequence[int], first: int) -> Iterator[Tensor]:
        ids = list(ids)
        shared = 0
        while shared < min(len(self._fed), first) and self._fed[shared] == ids[shared]:
            shared += 1
        at = self._program.reset(shared)
        self._fed = []
        if not self._all:
            yield self._program.prefill(ids[at : first + 1])[None].float()
            for token in ids[first + 1 :]:
                yield self._program.step([token])[0, -1:].float()
        else:
            size = self._program.prefill_length
            while at < len(ids):
                step = ids[at : at + size]
                yield from self._program.step(step)[0, max(0, first - at) :].float().split(_ROWS)
                at += len(step)
        self._fed = ids
