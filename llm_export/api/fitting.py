"""Choose what fits a device, before anything is exported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.api.forms import RecipeLike, later, source_of, words
from llm_export.errors import RecipeError
from llm_export.files import bytes_of

if TYPE_CHECKING:
    from llm_export.fit.fit import Fit

SHARE = 0.6
"""Of a device's memory, what a program may take by default: the rest is for the system and for
other apps."""


def fit(
    recipe: RecipeLike,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    device_memory: int | str,
    context: int | None = None,
    share: float = SHARE,
    out: str | Path | None = None,
    force: bool = False,
) -> Fit:
    """Choose the quant option, the KV cache and the context of the best expected quality that a
    device has memory for. Nothing is exported: sizes follow from the model's shapes.

    Args:
        overrides: what they state is kept: ``quant=8da4w`` compares KV caches and contexts only.
        device_memory: bytes, or a text such as "4GB" or "3.5GiB".
        context: tokens; None is the recipe's, or more if there is room.
        share: of the device's memory, what a program may take.
        out: a new .yaml file for the chosen recipe.
        force: replace an existing file.

    Raises:
        RecipeError: the recipe or an argument is wrong, or nothing fits; the message has the
            nearest thing that would.
        InputError: the file is there already, or cannot be written.
    """
    from llm_export.api.recipe_files import write_recipe
    from llm_export.config.compose import Composer
    from llm_export.config.recipe_files import recipe_yaml
    from llm_export.fit.fit import fit

    size = bytes_of(device_memory) if isinstance(device_memory, str) else device_memory
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise RecipeError(
            f"'{device_memory}' is no size of a memory", where="--device-memory",
            fix="--device-memory 4GB",
        )  # fmt: skip
    if not (isinstance(share, int | float) and math.isfinite(share) and 0 < share <= 1):
        raise RecipeError(
            f"{share} is no share of a memory", where="--share", fix="--share 0.6, at most 1"
        )
    if context is not None and (type(context) is not int or context < 2):
        raise RecipeError(
            f"a context of {context} tokens is too short", where="--context", fix="--context 2048"
        )
    said = words(overrides)
    with source_of(recipe, config_dir) as (source, before):
        found = fit(Composer(source, config_dir), later(before, said), size, context, share)
    if out is not None:
        write_recipe(Path(out), recipe_yaml(found.composed.recipe), force=force)
    return found
