"""Statistics of linear inputs on calibration text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from llm_export.memory import malloc_trim
from llm_export.models.contract import TextReader


def input_ranges(
    model: TextReader, names: Iterable[str], windows: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Module name -> largest absolute input of each channel, [K]; without modules that no token
    reached.
    """
    ranges: dict[str, Tensor] = {}

    def watch(name: str, x: Tensor) -> None:
        largest = x.detach().abs().flatten(0, -2).amax(0)
        former = ranges.get(name)
        ranges[name] = largest if former is None else torch.maximum(former, largest)

    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, inputs, name=name: watch(name, inputs[0])
        )
        for name in names
    ]
    try:
        for window in windows:
            model.run_text(torch.tensor([list(window)]))
            malloc_trim()
    finally:
        for handle in handles:
            handle.remove()
    return ranges


def outlier_channels(ranges: dict[str, Tensor], counts: dict[str, int]) -> dict[str, Tensor]:
    """Name -> the channels with the largest inputs, ascending."""
    return {
        name: ranges[name].topk(count).indices.sort().values
        for name, count in counts.items()
        if count
    }
