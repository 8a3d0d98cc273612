"""Where options and recipes are looked for, and files of one name in two of these places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError
from llm_export.plugins.active import Clash, activate, folders, registry_clashes
from llm_export.registry import OWN

_RECIPES = "recipes"
"""Folder of a folder that may hold its recipes."""
_RESERVED = {"schema/recipe", "_recipe"}
"""What the program itself puts on the path, behind all folders."""


@dataclass(frozen=True)
class Place:
    """One entry of the search path.

    Attributes:
        path: as Hydra writes it: pkg://package or file:///folder.
        recipes: whether recipes in it have names that count.
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


def own_places() -> list[Place]:
    """Options and recipes that ship."""
    return [_package(OWN, f"pkg://llm_export.{part}") for part in ("conf", "recipes")]


def plugin_places(config_dir: str | None) -> list[Place]:
    """Those of plugins and folders, after activating them; installed ones first."""
    found = []
    for provider in activate(config_dir):
        if provider.plugin is not None:
            found += [_package(provider.origin, path) for path in provider.plugin.packages]
    for folder, _ in folders(config_dir):
        places = [folder, folder / _RECIPES]
        found += [_folder(place) for place in places if place.is_dir()]
    return found


def clashes(places: Sequence[Place], beside: Path | None = None) -> list[Clash]:
    """Names that two claim: of registries, and of files of the shipped and the given places.

    Args:
        beside: folder of a recipe file, whose options count too.
    """
    found, first = registry_clashes(), dict.fromkeys(_RESERVED, OWN)
    seen: set[Path] = set()
    around = [_folder(beside, recipes=False)] if beside is not None else []
    for place in (*own_places(), *places, *around):
        folder = place.folder.resolve()
        if folder in seen:
            continue
        seen.add(folder)
        for name in sorted(place.names()):
            former = first.setdefault(name, place.origin)
            if former is not place.origin or name in _RESERVED:
                group, _, option = name.rpartition("/")
                what = f"{group} option '{option}'" if group else f"recipe '{option}'"
                found.append(Clash(what, former, place.origin))
    return found


def require_distinct(places: Sequence[Place], recipe_file: Path | None = None) -> None:
    """Files of one name in two places would shadow each other in silence.

    Raises:
        RecipeError: two claim one name, with both origins.
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
    """Who brings the file at ``path``, as ``Composer.describe`` names it."""
    around = [p for p in (*own_places(), *places) if path.startswith(f"{p.path}/")]
    return max(around, key=lambda p: len(p.path)).origin if around else path


def _package(origin: str, path: str) -> Place:
    return Place(origin, path, Path(str(resources.files(path.removeprefix("pkg://")))))


def _folder(folder: Path, *, recipes: bool = True) -> Place:
    return Place(str(folder.resolve()), f"file://{folder.resolve()}", folder, recipes)
