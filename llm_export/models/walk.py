"""Run a decoder one layer at a time over many windows.

Only the residual stream of the windows is kept, so that captured inputs of a layer's modules live
only while that layer is processed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.decoder import Decoder

Inputs = dict[nn.Module, Tensor]
"""Module -> its input, [tokens of all windows, K]."""


@torch.no_grad()
def layer_inputs(
    model: Decoder,
    windows: Sequence[Sequence[int]],
    watched: Callable[[nn.Module], Sequence[nn.Module]],
) -> Iterator[tuple[nn.Module, Inputs]]:
    """Yield each layer, and finally the output head, with the inputs of its watched modules.

    The layer has already run when it is yielded: it may be modified, and later layers still get
    its original output.

    Args:
        windows: token ids, each at most the context length, from an empty cache.
        watched: the modules of a layer whose inputs are captured.
    """
    runs = [_first_arguments(model, window) for window in windows]
    streams = [arguments[0] for arguments in runs]
    for layer in model.layers:
        seen: dict[nn.Module, list[Tensor]] = {}
        with _watching(watched(layer), seen):
            streams = [layer(x, *rest) for x, (_, *rest) in zip(streams, runs, strict=True)]
        yield layer, {module: torch.cat(parts) for module, parts in seen.items()}
    yield model.head, {model.head: torch.cat([model.norm(x).flatten(0, -2) for x in streams])}


class _Reached(Exception):
    """Raised to stop a forward pass when everything needed has been captured."""


def _first_arguments(model: Decoder, window: Sequence[int]) -> tuple[Any, ...]:
    """The arguments of the first layer: the residual stream, and information about the step."""
    found: list[tuple[Any, ...]] = []

    def stop(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        found.append(arguments)
        raise _Reached

    handle = model.layers[0].register_forward_pre_hook(stop)
    try:
        model(torch.tensor([list(window)]), torch.zeros(1, dtype=torch.int64))
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[0]


@contextmanager
def _watching(modules: Sequence[nn.Module], seen: dict[nn.Module, list[Tensor]]) -> Iterator[None]:
    """Context in which the inputs of the modules are captured."""

    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.setdefault(module, []).append(arguments[0].flatten(0, -2))

    with ExitStack() as stack:
        for module in dict.fromkeys(modules):
            stack.callback(module.register_forward_pre_hook(keep).remove)
        yield
