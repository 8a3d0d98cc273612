"""Choices -> grids: every weight rounded as the recipe wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.grid import Grid
from llm_export.quant.qat import trained_grid
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.kept import find_grid
from llm_export.quant.rules import Choice

Progress = Callable[[int, int], None]


def round_weights(
    model: nn.Module,
    choices: Iterable[Choice],
    settings: RoundingConfig,
    *,
    outliers: Mapping[str, Tensor],
    progress: Progress = lambda done, total: None,
) -> dict[str, tuple[Grid, str]]:
    """Name of module -> its grid, and how it came to it: "kept" or the method's name.

    Args:
        outliers: name -> input channels that the quantized product never sees.

    A choice that is shared with another gets that one's grid.
    """
    method = ROUNDERS.get(settings.method)
    choices = [c for c in choices if c.on_grid]
    shared = {c.name: c.shared_with for c in choices if c.shared_with}
    chosen = [c for c in choices if c.name not in shared]
    grids: dict[str, tuple[Grid, str]] = {}
    for index, choice in enumerate(chosen):
        weight = model.get_submodule(choice.name).weight.detach().float()  # type: ignore[operator,union-attr]
        spec = choice.spec
        known = known_grid(weight, choice, settings)
        if known is not None:
            grids[choice.name] = known
        else:
            # A table looks up the outliers' columns, too.
            if choice.name in outliers and choice.name not in shared.values():
                weight = weight.clone()
                weight[:, outliers[choice.name]] = 0
            grids[choice.name] = (method.round(weight, spec, None), settings.method)
        progress(index + 1, len(chosen))
    return {**grids, **{name: grids[other] for name, other in shared.items()}}


def known_grid(weight: Tensor, choice: Choice, settings: RoundingConfig) -> tuple[Grid, str] | None:
    """The grid that the weight was trained for or lies on already, and which of the two."""
    if choice.qat is not None:
        return trained_grid(weight, choice.spec, choice.qat, choice.name), "qat"
    grid = find_grid(weight, choice.spec) if settings.keep_grids else None
    return None if grid is None else (grid, "kept")
