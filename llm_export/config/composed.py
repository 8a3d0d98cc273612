"""What composition gives: recipes, where their parts came from, and launchers of sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError


@dataclass(frozen=True)
class Composed:
    """A recipe, and where each part came from."""

    recipe: Recipe
    choices: dict[str, str | None]
    """Option chosen in each group; None where the recipe carries the values itself."""
    origins: dict[str, str]
    """File or package of each choice, and of the recipe itself under 'recipe'."""
    overrides: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Keys and values that have another name now, each with the new one."""


@dataclass(frozen=True)
class Variant:
    """One combination of a sweep.

    Attributes:
        swept: key -> its value in this combination.
        problem: why it does not compose, where it does not.
    """

    overrides: list[str]
    swept: dict[str, str]
    composed: Composed | None
    problem: RecipeError | None


Task = Callable[[int], None]
"""Runs the job of a number."""
Launcher = Callable[[Sequence[int]], None]
"""Runs the jobs of these numbers and returns when all have ended."""


@dataclass(frozen=True)
class OwnLauncher:
    """A launcher that is not Hydra's.

    Attributes:
        settings: what ``hydra.launcher.KEY=VALUE`` may set, with the defaults.
        make: (settings, task) -> launcher.
    """

    settings: dict[str, object]
    make: Callable[[dict[str, object], Task], Launcher]
