"""The model to train with fake quantization: eager, or a captured graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.contract import LanguageModel
from llm_export.quant.observers import Ranges, collect_ranges, observers, observing, rounding
from llm_export.stages.training.losses import Forward


@dataclass(frozen=True)
class Student:
    """Attributes:
    module: holds the parameters, and the buffers that training changes.
    forward: tokens [B, S] -> logits [B, S, V], as ``module`` computes them.
    names: of a parameter of the model -> in ``module``.
    observe: shows it windows [N, S + 1] before it is trained, so that ranges are known.
    settle: ranges are not to move any more; they are of the weights as they are now.
    ranges: what was learned of them.
    """

    module: nn.Module
    forward: Forward
    names: Callable[[str], str] = field(default=lambda name: name)
    observe: Callable[[Tensor], None] = field(default=lambda windows: None)
    settle: Callable[[Tensor], None] = field(default=lambda windows: None)
    ranges: Callable[[], Ranges] = field(default=dict)


def eager(model: LanguageModel) -> Student:
    """The model itself, with fake quantizers in its modules."""
    return Student(model, forward_of(model))


def forward_of(model: LanguageModel) -> Forward:
    """tokens [B, S] -> logits of every position, differentiable."""

    def forward(tokens: Tensor) -> Tensor:
        with _all_logits(model):
            return model(tokens, torch.zeros(1, dtype=torch.int64))

    return forward


def captured(model: LanguageModel, window: int, quantizer: Any) -> Student:
    """A captured graph of the model with the fake quantizers of a backend's quantizer (PT2E QAT).
    It shares the model's parameters.

    Windows are fed one at a time: they have one shape, and moving-average ranges must see each of
    them.

    Args:
        window: tokens of a step.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    example = (torch.zeros(1, window, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    with torch.no_grad(), _all_logits(model):
        program = torch.export.export(model, example, strict=False)
    graph = prepare_qat_pt2e(program.module(check_guards=False), quantizer)
    own = {id(p): name for name, p in graph.named_parameters()}
    every = list(observers(graph).values())

    def forward(tokens: Tensor) -> Tensor:
        return torch.cat([graph(row[None], example[1]) for row in tokens])

    def observe(windows: Tensor) -> None:
        # Ranges of what is not rounded yet: a first guess would clip all that comes after it.
        _shown(forward, windows, every, round_too=False)

    def settle(windows: Tensor) -> None:
        _shown(forward, windows[:1], every, round_too=True)
        for observer in every:
            observing(observer, False)

    return Student(
        graph, forward, lambda name: own[id(model.get_parameter(name))], observe, settle,
        lambda: collect_ranges(graph),
    )  # fmt: skip


def _shown(
    forward: Forward, windows: Tensor, every: Sequence[nn.Module], *, round_too: bool
) -> None:
    for observer in every:
        rounding(observer, round_too)
    with torch.no_grad():
        for window in windows:
            forward(window[None, :-1])
    for observer in every:
        rounding(observer, True)


@contextmanager
def _all_logits(model: LanguageModel) -> Iterator[None]:
    wanted, model.all_logits = model.all_logits, True
    try:
        yield
    finally:
        model.all_logits = wanted
