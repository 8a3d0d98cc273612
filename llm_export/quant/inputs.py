"""Statistics of linear inputs on calibration text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.models.contract import TextReader
from llm_export.quant.layer_spec import LayerQuantSpec
from runtime_py.heap import malloc_trim


def input_ranges(
    model: TextReader, names: Iterable[str], windows: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Module name -> largest absolute input of each channel, [K]; without modules that no token
    reached.
    """
    ranges: dict[str, Tensor] = {}

    def watch(name: str, x: Tensor) -> None:
        _enlarge(ranges, name, x.detach().flatten(0, -2))

    _watch_inputs(model, names, windows, watch)
    return ranges


def _enlarge(ranges: dict[str, Tensor], name: str, rows: Tensor) -> None:
    if not len(rows):
        return
    largest = rows.abs().amax(0)
    former = ranges.get(name)
    ranges[name] = largest if former is None else torch.maximum(former, largest)


def input_rows(
    model: TextReader, names: Iterable[str], windows: Sequence[Sequence[int]], count: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The ranges of ``input_ranges``, and module name -> about ``count`` of its inputs, evenly
    spaced, bfloat16 [T, K].
    """
    ranges: dict[str, Tensor] = {}
    rows: dict[str, list[Tensor]] = {}
    stride = -(-sum(map(len, windows)) // count)

    def watch(name: str, x: Tensor) -> None:
        flat = x.detach().flatten(0, -2)
        _enlarge(ranges, name, flat)
        if len(flat):
            rows.setdefault(name, []).append(flat[::stride].to(torch.bfloat16))

    _watch_inputs(model, names, windows, watch)
    return ranges, {name: torch.cat(parts) for name, parts in rows.items()}


def input_squares(
    model: TextReader, names: Iterable[str], windows: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Module name -> mean square of each input channel, float32 [K]; without modules that no token
    reached.
    """
    return _mean_squares(model, names, windows, lambda name, rows: rows)


def group_mean_squares(
    model: TextReader,
    groups: Mapping[str, int],
    windows: Sequence[Sequence[int]],
    without: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Module name -> mean square of the mean of each group of its inputs, float32 [G]; without
    modules that no token reached.

    Args:
        groups: name -> number of groups, of adjacent channels.
        without: name -> channels that count as zero.
    """

    def means(name: str, rows: Tensor) -> Tensor:
        if name in without:
            rows = rows.index_fill(1, without[name], 0)
        return rows.unflatten(1, (groups[name], -1)).mean(-1)

    return _mean_squares(model, groups, windows, means)


def _mean_squares(
    model: TextReader,
    names: Iterable[str],
    windows: Sequence[Sequence[int]],
    values: Callable[[str, Tensor], Tensor],
) -> dict[str, Tensor]:
    """Of the values that follow from a module's name and its inputs [T, K], over all tokens."""
    sums: dict[str, Tensor] = {}
    tokens: Counter[str] = Counter()

    def watch(name: str, x: Tensor) -> None:
        rows = values(name, x.detach().flatten(0, -2).float())
        total = rows.square().sum(0)
        sums[name] = total if name not in sums else sums[name] + total
        tokens[name] += len(rows)

    _watch_inputs(model, names, windows, watch)
    return {name: total / tokens[name] for name, total in sums.items() if tokens[name]}


def _watch_inputs(
    model: TextReader,
    names: Iterable[str],
    windows: Sequence[Sequence[int]],
    watch: Callable[[str, Tensor], None],
) -> None:
    """Run the model over the windows; ``watch`` gets each input of the named modules."""
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


def outlier_channels(
    ranges: Mapping[str, Tensor], choices: Iterable[LayerQuantSpec]
) -> dict[str, Tensor]:
    """Name -> the channels with the largest inputs, ascending, of the modules that have outlier
    channels: of those that tokens reached, the ones whose inputs exceed ``outlier_ratio``.

    Args:
        ranges: name of module -> largest absolute input of each channel.
    """
    found = {}
    for choice in choices:
        count, inputs = choice.outliers, ranges.get(choice.name)
        if not count or inputs is None:
            continue
        largest = inputs.topk(min(count + 1, len(inputs)))
        if (
            choice.outlier_ratio == 1
            or largest.values[0] > choice.outlier_ratio * largest.values[-1]
        ):
            found[choice.name] = largest.indices[:count].sort().values
    return found


def with_outliers(choice: LayerQuantSpec, channels: Mapping[str, Tensor]) -> LayerQuantSpec:
    """The choice with as many outlier channels as were found for it."""
    columns = channels.get(choice.name)
    return replace(choice, outliers=0 if columns is None else len(columns), outlier_ratio=1.0)
