"""Round every weight as the recipe requires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from llm_export.config.quant_schema import ModuleKind, RoundingConfig
from llm_export.errors import PostConditionError
from llm_export.memory import release
from llm_export.models.contract import TextReader
from llm_export.quant.grid import Grid, sqnr
from llm_export.quant.inputs import input_squares
from llm_export.quant.qat import trained_grid, training_values
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.base import Needs, Rounded, Rounder
from llm_export.quant.rounding.detect_grid import find_grid
from llm_export.quant.rounding.minmax import ROUNDER as MINMAX
from llm_export.quant.rounding.mse import ROUNDER as MSE
from llm_export.quant.rounding.resume import FinishedLayers
from llm_export.quant.rounding.walk import Walk, container_of
from llm_export.quant.rules import LayerQuantSpec

Progress = Callable[[int, int], None]


def round_weights(
    model: nn.Module,
    choices: Iterable[LayerQuantSpec],
    settings: RoundingConfig,
    *,
    outliers: Mapping[str, Tensor],
    windows: Sequence[Sequence[int]] = (),
    finished: FinishedLayers | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Rounded]:
    """Module name -> its quantized weight, and how it was rounded.

    A method that needs products of inputs replaces the model's weights by their quantized values;
    other methods leave the model unchanged. For methods that need them, embeddings, and linears
    that no token reached, are rounded by min-max, and linears with more than ``settings.widest``
    inputs by mse.

    Args:
        outliers: name -> input channels excluded from the quantized product. A spec that is
            shared with another gets that one's quantized weight.
        windows: calibration token ids, if the method needs inputs and the model has a text.
        finished: storage for finished layers, to resume a killed run.
        progress: called after each weight.

    Raises:
        PostConditionError: inputs of a linear are not finite.
    """
    method = ROUNDERS.get(settings.method).configured(settings)
    choices = [c for c in choices if c.on_grid]
    shared = {c.name: c.shared_with for c in choices if c.shared_with}
    chosen = [c for c in choices if c.name not in shared]
    # An embedding looks up outlier columns too, so a shared weight must include them.
    hidden = {name: cols for name, cols in outliers.items() if name not in shared.values()}
    walk, squares = None, {}
    if method.needs is Needs.products:
        assert isinstance(model, TextReader)
        walk = Walk(model, windows, settings.widest)
    elif method.needs is Needs.squares and windows:
        assert isinstance(model, TextReader)
        names = [c.name for c in chosen if c.kind is not ModuleKind.embedding and c.qat is None]
        squares = input_squares(model, names, windows)
    rounded: dict[str, Rounded] = {}
    for number, (_, group) in enumerate(groupby(chosen, lambda c: container_of(c.name))):
        layer = list(group)
        done = finished.load(number, layer) if finished else None
        if done is None:
            done = {}
            for name, one in _round_layer(model, layer, settings, method, hidden, walk, squares):
                done[name] = one._replace(grid=one.grid.memory_mapped())
                release()
                if finished and len(done) == len(layer):
                    finished.save(number, done)
                progress(len(rounded) + len(done), len(chosen))
        else:
            progress(len(rounded) + len(done), len(chosen))
        rounded.update(done)
        if walk is not None:
            for name, one in done.items():
                _put(model.get_submodule(name), one.grid, outliers.get(name))
    return {**rounded, **{name: rounded[other] for name, other in shared.items()}}


def _round_layer(
    model: nn.Module,
    layer: Sequence[LayerQuantSpec],
    settings: RoundingConfig,
    method: Rounder,
    outliers: Mapping[str, Tensor],
    walk: Walk | None,
    squares: Mapping[str, Tensor],
) -> Iterator[tuple[str, Rounded]]:
    """Name and quantized weight for a layer, starting with those already quantized."""
    others = []
    for choice in layer:
        weight = _weight(model, choice.name)
        kept = known_grid(weight, choice, settings)
        if kept is None:
            others.append(choice)
        else:
            trained = _training_db(weight, choice, kept[0])
            yield choice.name, Rounded(*kept, _sqnr(weight, kept[0]), trained)
    linears = [c.name for c in others if c.kind is not ModuleKind.embedding]
    hessians = walk.hessians(linears) if walk is not None and linears else {}
    for choice in others:
        name, weight = choice.name, _weight(model, choice.name)
        hessian = hessians.pop(name, None)
        inner = weight
        if name in outliers:
            columns = outliers[name]
            inner = weight.clone()
            inner[:, columns] = 0
            if hessian is not None:
                hessian[columns] = 0
                hessian[..., columns] = 0
        inputs = squares.get(name) if hessian is None else hessian
        if inputs is not None and inputs.dim() == 2:
            inputs = inputs.diagonal()
        if inputs is not None and not bool(torch.isfinite(inputs).all()):
            raise PostConditionError(
                f"inputs of '{name}' are not finite on the calibration text",
                where="quant.calibration", fix="try another text, or quant.rounding.method=minmax",
            )  # fmt: skip
        if hessian is not None and not bool(hessian.any()):
            hessian = None
        if method.needs is Needs.products and hessian is None:
            grid, how = MINMAX.round(inner, choice.spec), "minmax"
        elif hessian is not None and hessian.dim() == 1:
            means = hessian / hessian.mean()
            grid, how = MSE.configured(settings).round(inner, choice.spec, means), "mse"
        else:
            known = squares.get(name) if hessian is None else hessian
            grid, how = method.round(inner, choice.spec, known), settings.method
        yield name, Rounded(grid, how, _sqnr(weight, grid))


def known_grid(
    weight: Tensor, choice: LayerQuantSpec, settings: RoundingConfig
) -> tuple[Grid, str] | None:
    """The quantized weight from training or from the checkpoint, and which of the two."""
    if choice.qat is not None:
        return trained_grid(weight, choice.spec_of("qat"), choice.qat, choice.name), "qat"
    grid = find_grid(weight, choice.spec_of("kept")) if settings.keep_grids else None
    return None if grid is None else (grid, "kept")


def _weight(model: nn.Module, name: str) -> Tensor:
    return model.get_submodule(name).weight.detach().float()  # type: ignore[operator]


def _sqnr(weight: Tensor, grid: Grid) -> float:
    return round(sqnr(weight, grid), 2)


def _training_db(weight: Tensor, choice: LayerQuantSpec, grid: Grid) -> float | None:
    """Of the weight as training left it: a method that needs products replaces it."""
    if choice.qat is None:
        return None
    return sqnr(training_values(weight, choice.spec, choice.qat), grid)


def _put(module: nn.Module, grid: Grid, columns: Tensor | None) -> None:
    """Set the values that the quantized module will compute with; outlier columns stay float.

    This creates a new parameter, because an embedding may share the old one with the output head.
    """
    values = grid.values()
    if columns is not None:
        values[:, columns] = module.weight.detach()[:, columns].float()  # type: ignore[operator]
    module.weight = nn.Parameter(values, requires_grad=False)
