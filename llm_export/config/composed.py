"""Results of composition: recipes with the origins of their parts, and launchers of sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError


@dataclass(frozen=True)
class Composed:
    """A composed recipe with the origin of each part."""

    recipe: Recipe
    choices: dict[str, str | None]
    """Chosen option of each group; None if the recipe contains the values itself."""
    origins: dict[str, str]
    """File or package of each chosen option; that of the recipe itself under 'recipe'."""
    overrides: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Deprecation warnings: renamed keys and values, each with the new name."""


@dataclass(frozen=True)
class Variant:
    """One combination of a sweep.

    Attributes:
        swept: key -> its value in this combination.
        problem: why it cannot be composed; None if it can.
    """

    overrides: list[str]
    swept: dict[str, str]
    composed: Composed | None
    problem: RecipeError | None


Task = Callable[[int], None]
"""Runs the job with this number."""
Launcher = Callable[[Sequence[int]], None]
"""Runs the jobs with these numbers and returns when all have ended."""


@dataclass(frozen=True)
class OwnLauncher:
    """A launcher that is not Hydra's.

    Attributes:
        settings: keys that ``hydra.launcher.KEY=VALUE`` may set, with their defaults.
        make: (settings, task) -> launcher.
    """

    settings: dict[str, object]
    make: Callable[[dict[str, object], Task], Launcher]
