"""Plugin transforms named in a recipe. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.config.schema import Recipe
from llm_export.transforms import TRANSFORMS
from llm_export.transforms.base import Transform


def asked_for(recipe: Recipe) -> Iterator[Transform]:
    """The transforms in ``runtime.transforms``, with options that the recipe checks have
    validated.
    """
    for name in recipe.runtime.transforms:
        named = TRANSFORMS.get(name)
        options = named.options(**recipe.runtime.transform_options.get(name, {}))
        yield replace(named.make(options, recipe), name=name)
