"""All quantities that can be compared, and those that the files of one side tell."""

from __future__ import annotations

from llm_export.compare.figure import Figure, Quantity
from llm_export.compare.quality_figures import known_quality, quality_figures
from llm_export.compare.side import Side
from llm_export.compare.size_figures import known_sizes, size_figures
from llm_export.compare.speed_figures import MAIN, MEASURED, known_speed, speed_figures


def figures_of(side: Side) -> dict[str, Figure]:
    """Name -> figure, in the order of a table."""
    found = [*speed_figures(side.benchmark), *size_figures(side), *quality_figures(side)]
    return {figure.quantity.name: figure for figure in found}


def known_quantities() -> dict[str, Quantity]:
    """Name -> quantity, of all that have a name whatever the bundle is. Those of its schemes,
    modules, benchmark tests and evaluation tasks come from its files."""
    found = [*known_speed(), *known_sizes(), *known_quality()]
    return {quantity.name: quantity for quantity in found}


SHORT = {name: f"{name}.{MAIN[0]}" for name in MEASURED}
"""Short names: ``decode`` is ``decode.median``."""
