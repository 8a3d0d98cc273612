"""Weights whose integers a run will keep, as the name of the checkpoint tells."""

from __future__ import annotations

import re
from collections.abc import Callable

from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES

_GRIDS = {"Q4_0": (4, 32, False), "Q4_1": (4, 32, True), "Q8_0": (8, 32, False)}
"""Bits, group size and whether there are zero points, by GGUF's names of encodings."""


def on_known_grid(recipe: Recipe) -> Callable[[LayerQuantSpec], bool]:
    """Whether a linear keeps the integers of a GGUF file, whose name ends with its encoding
    (the naming convention of the GGUF specification)."""
    quant, source = recipe.quant, recipe.checkpoint
    name = source.path or (source.package.member if source.package else "") or ""
    found = re.search(r"(Q[0-9]_[01])\.gguf$", name)
    moved = quant.smooth is not None or quant.awq is not None or quant.rotate is not None
    grid = _GRIDS.get(found.group(1)) if found and quant.rounding.keep_grids and not moved else None

    def kept(choice: LayerQuantSpec) -> bool:
        if grid is None or choice.kind is not ModuleKind.linear:
            return False
        bits, group, shifted = grid
        same = SCHEMES[choice.scheme].weight_bits == bits and choice.group_size == group
        return same and (choice.zero_point or not shifted)

    return kept
