"""List recipes, options, registry entries and plugins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_export.config.compose import Composer
from llm_export.config.library import ORIGIN, library_names, library_recipe
from llm_export.config.recipe_source import read_recipe
from llm_export.config.schema import GROUPS
from llm_export.config.search_path import clashes, origin_of
from llm_export.consumers import CONSUMERS
from llm_export.errors import LlmExportError, RecipeError, did_you_mean
from llm_export.plugins.active import activate
from llm_export.plugins.summary import summary_of
from llm_export.plugins_registration import REGISTRIES
from llm_export.registry import Registry

_PLURAL = {"recipes": "", **{f"{group}s": group for group in GROUPS}}
for _verb in ("verify", "evaluate"):
    _PLURAL[_verb] = _verb
    del _PLURAL[f"{_verb}s"]
_REGISTERED = {
    "tasks": "tasks",
    "families": "families",
    "task-families": "task_families",
    "transforms": "transforms",
    "checkpoints": "checkpoint_readers",
    "metrics": "metrics",
    "evaluations": "evaluation_tasks",
    "targets": "target_kinds",
    "engines": "runtimes",
    "apps": "deploy_targets",
    "template-engines": "template_engines",
    "consumers": "consumers",
}
_PLUGINS = "plugins"
KINDS = (*_PLURAL, *_REGISTERED, _PLUGINS)
"""Kinds of things that can be listed."""


@dataclass(frozen=True)
class Row:
    """One entry: its name, description and origin."""

    name: str
    text: str
    origin: str


@dataclass(frozen=True)
class Listing:
    """All entries of one kind. Descriptions are read only when ``rows`` is called, because reading
    them is slower than finding names."""

    kind: str
    names: tuple[str, ...]
    _composer: Composer

    def rows(self) -> list[Row]:
        return list(_rows(self._composer, self.kind, self.names))


def ls(what: str | None = None, config_dir: str | None = None) -> list[Listing]:
    """List everything, or one kind: recipes, models, quants, backends, runtimes, plugins, ...

    Args:
        what: one of ``KINDS``, or a group's name; None is all of them.

    Raises:
        RecipeError: there is no such kind.
    """
    composer = Composer(None, config_dir)
    if what is not None and what in GROUPS:
        what = next(plural for plural, group in _PLURAL.items() if group == what)
    if what is not None and what not in KINDS:
        raise RecipeError(f"there is nothing called '{what}'", fix=did_you_mean(what, KINDS))
    kinds = [what] if what else KINDS
    return [Listing(kind, tuple(_names(composer, kind)), composer) for kind in kinds]


def _names(composer: Composer, kind: str) -> list[str]:
    if kind in _PLURAL:
        fetched = library_names() if kind == "recipes" else []
        return [*composer.options(_PLURAL[kind]), *fetched]
    if kind in _REGISTERED:
        return REGISTRIES[_REGISTERED[kind]].in_order()
    return [provider.name for provider in activate(composer.config_dir)]


def _rows(composer: Composer, kind: str, names: tuple[str, ...]) -> Iterator[Row]:
    if kind == _PLUGINS:
        yield from _plugins(composer)
    for name in names:
        if "/" in name:
            yield Row(name, *_fetched(name))
        elif kind in _PLURAL:
            text, where = composer.describe(_PLURAL[kind], name)
            yield Row(name, text, origin_of(where, composer.places) if where else "")
        elif kind in _REGISTERED:
            registry = REGISTRIES[_REGISTERED[kind]]
            yield Row(name, _summary(registry, name), registry.origin(name))


def _summary(registry: Registry[Any], name: str) -> str:
    """Of an entry that is data, its title; other entries are not imported."""
    if registry is CONSUMERS and registry.fault(name) is None:
        return str(registry.get(name).title)
    return summary_of(registry.target(name))


def _fetched(name: str) -> tuple[str, str]:
    """Description and origin of a recipe in the library."""
    file = library_recipe(name)
    if file is None:
        return "several recipes; llm-export get --list", "library"
    try:
        said = read_recipe(file).get("description", "")
        origin = json.loads((file.parent / ORIGIN).read_text(encoding="utf-8"))["origin"]
    except (LlmExportError, OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read: {str(error).splitlines()[0]}", "library"
    return str(said), str(origin)


def _plugins(composer: Composer) -> Iterator[Row]:
    """One row per plugin, then one per name clash. Entries of plugins are not imported here;
    ``doctor`` imports them."""
    for provider in activate(composer.config_dir):
        brought = provider.plugin
        parts = [f"{kind.replace('_', ' ')}: {', '.join(names)}"
                 for kind in REGISTRIES if (names := getattr(brought, kind, None))]  # fmt: skip
        places = [p for p in composer.places if p.origin == provider.origin]
        count = sum(1 for place in places for _ in place.names())
        parts += [f"{count} options and recipes"] if count else []
        text = f"broken: {provider.error}" if provider.error else "; ".join(parts) or "nothing"
        yield Row(provider.name, text, provider.origin)
    for clash in clashes(composer.places):
        yield Row("", f"clash: the {clash.what}", f"{clash.first} and {clash.second}")
