"""A transform that a recipe asks for by name: what plugins bring. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.transforms.base import Transform


@dataclass(frozen=True)
class NoOptions:
    """A transform without options."""


@dataclass(frozen=True)
class NamedTransform:
    """How to make a transform for a recipe.

    The float model is to compute the same afterwards: verification compares the program with
    the model as its checkpoint has it. ``transforms.preserving`` makes that a post-condition.

    Attributes:
        make: (options, recipe) -> the transform, with its post-condition.
        options: a dataclass: the keys of ``runtime.transform_options.NAME``, with defaults; its
            ``__post_init__`` raises ValueError on what cannot be.
        definitions: model definitions whose modules it knows.
    """

    make: Callable[[Any, Recipe], Transform]
    options: type[Any] = NoOptions
    definitions: frozenset[str] = frozenset({"composable"})
