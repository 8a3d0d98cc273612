"""The search path of options and recipes, and duplicate names on it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError
from llm_export.plugins.active import Clash, activate, folders, registry_clashes
from llm_export.registry import OWN

_RECIPES = "recipes"
"""Subfolder of a config folder that may contain recipes."""
_RESERVED = {"schema/recipe", "_recipe"}
"""Entries that llm_export itself adds at the end of the search path."""


@dataclass(frozen=True)
class Place:
    """One entry of the search path.

    Attributes:
        path: in Hydra's notation: pkg://package or file:///folder.
        recipes: whether its recipes can be found by name.
    """

    origin: str
    path: str
    folder: Path
    recipes: bool = True

    def names(self) -> Iterator[str]:
        """GROUP/NAME of each option, NAME of each recipe."""
        parts = [*GROUPS, "schema"]
        for group in [*parts, ""] if self.recipes else parts:
            for file in (self.folder / group).glob("*.yaml"):
                yield f"{group}/{file.stem}" if group else file.stem


@functools.cache
def own_places() -> tuple[Place, ...]:
    """The shipped options and recipes."""
    return tuple(_package(OWN, f"pkg://llm_export.{part}") for part in ("conf", "recipes"))


@functools.cache
def _own_names(place: Place) -> tuple[str, ...]:
    # Each composition asks; they stay as they are while a process runs.
    return tuple(sorted(place.names()))


def plugin_places(config_dir: str | None) -> list[Place]:
    """Activate plugins and return their entries and those of folders; installed plugins first."""
    found = []
    for provider in activate(config_dir):
        if provider.plugin is not None:
            found += [_package(provider.origin, path) for path in provider.plugin.packages]
    for folder, _ in folders(config_dir):
        places = [folder, folder / _RECIPES]
        found += [_folder(place) for place in places if place.is_dir()]
    return found


def clashes(places: Sequence[Place], beside: Path | None = None) -> list[Clash]:
    """Duplicate names: in registries, and of files in the shipped and the given places.

    Args:
        beside: folder of a recipe file, whose options are checked too.
    """
    found, first = registry_clashes(), dict.fromkeys(_RESERVED, OWN)
    seen: set[Path] = set()
    around = [_folder(beside, recipes=False)] if beside is not None else []
    for place in (*own_places(), *places, *around):
        folder = place.folder.resolve()
        if folder in seen:
            continue
        seen.add(folder)
        for name in _own_names(place) if place in own_places() else sorted(place.names()):
            former = first.setdefault(name, place.origin)
            if former is not place.origin or name in _RESERVED:
                group, _, option = name.rpartition("/")
                what = f"{group} option '{option}'" if group else f"recipe '{option}'"
                found.append(Clash(what, former, place.origin))
    return found


def require_distinct(places: Sequence[Place], recipe_file: Path | None = None) -> None:
    """Refuse duplicate names, because one file would silently shadow the other.

    Raises:
        RecipeError: a name occurs twice; the message has both origins.
    """
    found = clashes(places, None if recipe_file is None else recipe_file.parent)
    if found:
        first, more = found[0], len(found) - 1
        raise RecipeError(
            f"two providers claim the {first.what}" + (f" (and {more} more names)" if more else ""),
            where=f"{first.first} and {first.second}",
            fix="rename or remove one of them; llm-export ls plugins lists them",
        )


def origin_of(path: str, places: Sequence[Place]) -> str:
    """The origin of the file at ``path``, in the form of ``Composer.describe``."""
    around = [p for p in (*own_places(), *places) if path.startswith(f"{p.path}/")]
    return max(around, key=lambda p: len(p.path)).origin if around else path


def _package(origin: str, path: str) -> Place:
    return Place(origin, path, Path(str(resources.files(path.removeprefix("pkg://")))))


def _folder(folder: Path, *, recipes: bool = True) -> Place:
    return Place(str(folder.resolve()), f"file://{folder.resolve()}", folder, recipes)
