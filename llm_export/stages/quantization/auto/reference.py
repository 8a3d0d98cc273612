"""The float model's predictions on calibration text, and the current model's KL to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.step import Step
from llm_export.models.contract import LanguageModel
from llm_export.models.decoder import Decoder


@contextlib.contextmanager
def without_cache(model: LanguageModel) -> Iterator[None]:
    """Set cacheless attention: a cache of context length costs more than the window. Models other
    than the composable decoder are unchanged.
    """
    kind = model.attention_kind
    if not isinstance(model, Decoder) or kind == "cacheless":
        yield
        return
    model.set_attention("cacheless")
    try:
        yield
    finally:
        model.set_attention(kind)


class Reference:
    """Log-probabilities of the float model for every position of the windows.

    For a decoder, the residual stream before one layer is also kept, so that the layers before it
    are not run again while only later layers change.

    Args:
        windows: token ids, each at most the context long.
    """

    def __init__(self, model: LanguageModel, windows: Sequence[Sequence[int]]) -> None:
        self.model = model
        self.tokens = [torch.tensor([list(window)]) for window in windows]
        self.log_probs: list[Tensor] = []
        self._first: list[tuple[Tensor, Step]] = []
        """Inputs of the first layer, for each window."""
        self._layer: int | None = None
        self._streams: list[Tensor] = []
        with _watched(model, self._first):
            for tokens in self.tokens:
                logits = model.run_text(tokens)[0].float()
                self.log_probs.append(torch.log_softmax(logits, -1))

    def start_at(self, layer: int | None) -> None:
        """Let ``mean_kl`` start at ``layer``, or at the output head if it equals the number of
        layers; None is the whole model. All earlier layers must be float, now and then.
        """
        if not self._first or layer is None:
            self._layer = None
            return
        if self._layer is None or layer < self._layer:
            self._layer, self._streams = 0, [x for x, _ in self._first]
        with torch.no_grad():
            for passed in self.model.layers[self._layer : layer]:  # type: ignore[index]
                self._streams = [
                    passed(x, step) for x, (_, step) in zip(self._streams, self._first, strict=True)
                ]
        self._layer = layer

    def mean_kl(self) -> float:
        """KL divergence from the float model to the current model, in nats per position."""
        total, count = 0.0, 0
        for index, expected in enumerate(self.log_probs):
            found = torch.log_softmax(self._logits(index)[0].float(), -1)
            each = F.kl_div(found, expected, reduction="none", log_target=True).sum(-1)
            total, count = total + float(each.double().sum()), count + len(each)
        return total / count

    def _logits(self, index: int) -> Tensor:
        tokens = self.tokens[index]
        if self._layer is None:
            return self.model.run_text(tokens)
        step = self._first[index][1]
        with _from_layer(self.model, self._layer, self._streams[index], step):
            return self.model.run_text(tokens)


@contextlib.contextmanager
def _watched(model: LanguageModel, seen: list[tuple[Tensor, Step]]) -> Iterator[None]:
    """Capture the inputs of a decoder's first layer; nothing for other models."""
    if not isinstance(model, Decoder):
        yield
        return
    handle = model.layers[0].register_forward_pre_hook(
        lambda module, inputs: seen.append((inputs[0], inputs[1]))
    )
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _from_layer(model: LanguageModel, first: int, stream: Tensor, before: Step) -> Iterator[None]:
    """The decoder without the layers before ``first``, given their output, and the step that has
    what they lend.
    """
    layers = model.layers
    assert isinstance(layers, nn.ModuleList)
    rest = layers[first:]
    begin = rest[0] if len(rest) else model.norm

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for step in inputs[1:]:  # none before the last norm
            if before.lent is not None:
                step.lent.update(before.lent)
        return (stream, *inputs[1:])

    handle = begin.register_forward_pre_hook(enter)  # type: ignore[union-attr]
    model.layers = rest
    try:
        yield
    finally:
        model.layers = layers
        handle.remove()
