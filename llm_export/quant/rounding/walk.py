"""Run a model layer by layer and accumulate the Hessians of its linears' inputs, or, of wide ones,
their diagonals.

The layers before the current one are already quantized, so each layer is rounded for its actual
inputs. Activations stay float32: the noise of int8 activations is small relative to that of the
weights, and is unbiased.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.contract import TextReader


class _Reached(Exception):
    """Raised to stop a forward pass when everything needed has been captured."""


def container_of(name: str) -> str:
    """``layers.3.attention.out`` -> ``layers.3``: up to the first number; "" outside of lists."""
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if part.isdigit():
            return ".".join(parts[: index + 1])
    return ""


class Walk:
    """Forward passes over the calibration windows, one group of linears after another.

    Groups must be processed in execution order, and everything before a group must already have
    its final weights. If the model's layers form a chain, hidden states are kept between layers
    (tokens x D floats) and the cost is linear in depth; otherwise every group costs a pass from
    the embedding to its end.

    Args:
        windows: token ids, each from an empty cache.
        widest: of linears with more inputs only the diagonal is kept; None is no limit.
    """

    def __init__(
        self, model: TextReader, windows: Sequence[Sequence[int]], widest: int | None = None
    ) -> None:
        self._widest = widest
        self._model = model
        self._windows = [torch.tensor([list(window)]) for window in windows]
        self._chain = list(model.layer_chain())
        self._hidden: list[Tensor] = []
        self._rest: list[tuple[Any, ...]] = []
        self._at = 0

    def hessians(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Name of a linear -> sum of x x^T over its inputs, float32 [K, K], or its diagonal [K];
        without linears that no token reached.

        Args:
            names: linears of one ``container_of``.
        """
        container = container_of(names[0])
        module = self._model.get_submodule(container) if container else None
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), _summing(self._model, names, sums, self._widest):
            index = next((i for i, layer in enumerate(self._chain) if layer is module), None)
            if index is not None:
                self._advance(index)
                for window in range(len(self._hidden)):
                    self._step(index, window)
            else:
                self._run_until(module)
        return sums

    def _run_until(self, module: nn.Module | None) -> None:
        def stop(*_: Any) -> None:
            raise _Reached

        handle = None if module is None else module.register_forward_hook(stop)
        try:
            for window in self._windows:
                try:
                    self._model.run_text(window)
                except _Reached:
                    continue
        finally:
            if handle is not None:
                handle.remove()

    def _advance(self, index: int) -> None:
        """Compute the hidden states before layer ``index``. Earlier layers have no hooks."""
        if not self._hidden:
            self._enter()
        while self._at < index:
            for window in range(len(self._hidden)):
                self._hidden[window] = self._step(self._at, window)
            self._at += 1

    def _enter(self) -> None:
        """Inputs of the first layer. All windows start at position 0, so those of equal length
        share all but the hidden state, masks and rotations, unless layers read the tokens too.
        """
        same: dict[int, tuple[Any, ...]] = {}

        def catch(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._hidden.append(inputs[0])
            apart = self._model.chain_reads_tokens
            shared = inputs[1:] if apart else same.setdefault(inputs[0].shape[1], inputs[1:])
            self._rest.append(shared)
            raise _Reached

        handle = self._chain[0].register_forward_pre_hook(catch)
        try:
            self._run_until(None)
        finally:
            handle.remove()

    def _step(self, index: int, window: int) -> Tensor:
        return self._chain[index](self._hidden[window], *self._rest[window])


@contextmanager
def _summing(
    model: TextReader, names: Sequence[str], sums: dict[str, Tensor], widest: int | None
) -> Iterator[None]:
    """Context in which every input x [..., K] of a named linear adds x x^T to ``sums``, or its
    diagonal if K is above ``widest``. For experts, only tokens routed to them count, although all
    are computed.
    """
    chosen: dict[str, Tensor] = {}

    def add(name: str, expert: tuple[str, int] | None, x: Tensor) -> None:
        rows = x.detach().flatten(0, -2).float()
        if expert is not None:
            rows = rows[chosen[expert[0]][:, expert[1]]]
        if not len(rows):
            return
        inputs = rows.shape[1]
        if widest is not None and inputs > widest:
            sums[name] = sums.get(name, 0) + rows.square().sum(0)
            return
        if name not in sums:
            sums[name] = torch.zeros(inputs, inputs)
        sums[name].addmm_(rows.t(), rows)

    experts = {name: expert for name in names if (expert := _expert_of(model, name))}
    with ExitStack() as stack:
        for mixture in {mixture for mixture, _ in experts.values()}:
            router = model.get_submodule(f"{mixture}.router")
            hook = router.register_forward_hook(
                lambda module, inputs, weights, mixture=mixture: chosen.update(
                    {mixture: weights.flatten(0, -2) != 0}
                )
            )
            stack.callback(hook.remove)
        for name in names:
            hook = model.get_submodule(name).register_forward_pre_hook(
                lambda module, inputs, name=name: add(name, experts.get(name), inputs[0])
            )
            stack.callback(hook.remove)
        yield


def _expert_of(model: nn.Module, name: str) -> tuple[str, int] | None:
    """``layers.3.feed_forward.experts.5.up`` -> (``layers.3.feed_forward``, 5)."""
    head, _, tail = name.partition(".experts.")
    if tail and isinstance(model.get_submodule(head), MixtureOfExperts):
        return head, int(tail.split(".")[0])
    return None
