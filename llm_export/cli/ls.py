"""List recipes and the options of each group.

llm-export ls                 everything; of long lists, the names only
llm-export ls recipes         or models, quants, backends, runtimes, ...: with descriptions and
                              who brings each: llm_export, a plugin, a folder, or where
                              `llm-export get` fetched it from
llm-export ls plugins         what extends this program; llm-export doctor tries it out
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator

from llm_export.cli.runtime_args import printable
from llm_export.config.compose import Composer
from llm_export.config.library import ORIGIN, library_names, library_recipe
from llm_export.config.recipe_source import read_recipe
from llm_export.config.schema import GROUPS
from llm_export.config.search_path import clashes, origin_of
from llm_export.errors import MANY, LlmExportError, RecipeError, did_you_mean
from llm_export.plugins.active import activate
from llm_export.plugins.summary import summary_of
from llm_export.plugins_registration import REGISTRIES

_PLURAL = {"recipes": "", **{f"{group}s": group for group in GROUPS}}
_PLURAL["verify"] = "verify"
del _PLURAL["verifys"]
_REGISTERED = {
    "families": "families",
    "transforms": "transforms",
    "checkpoints": "checkpoint_readers",
}
_PLUGINS = "plugins"
_KINDS = (*_PLURAL, *_REGISTERED, _PLUGINS)

_Row = tuple[str, str, str]
"""Name, what it is, and who brings it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", help=", ".join(_KINDS))
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    composer = Composer(None, options.config_dir)
    what = options.what
    if what is not None and what in GROUPS:
        what = next(plural for plural, group in _PLURAL.items() if group == what)
    if what is not None and what not in _KINDS:
        raise RecipeError(f"there is nothing called '{what}'", fix=did_you_mean(what, _KINDS))
    for kind in [what] if what else _KINDS:
        names = list(_names(composer, kind))
        if what is None and len(names) > MANY:
            print(f"{kind} (llm-export ls {kind} describes them)")
            print(textwrap.fill("  ".join(names), 100, initial_indent="  ", subsequent_indent="  "))
        else:
            print(kind)
            _print_rows(list(_rows(composer, kind, names)), origins=what is not None)


def _names(composer: Composer, kind: str) -> list[str]:
    if kind in _PLURAL:
        fetched = library_names() if kind == "recipes" else []
        return [*composer.options(_PLURAL[kind]), *fetched]
    if kind in _REGISTERED:
        return REGISTRIES[_REGISTERED[kind]].in_order()
    return [provider.name for provider in activate(composer.config_dir)]


def _rows(composer: Composer, kind: str, names: list[str]) -> Iterator[_Row]:
    if kind == _PLUGINS:
        yield from _plugins(composer)
    for name in names:
        if "/" in name:
            yield (name, *_fetched(name))
        elif kind in _PLURAL:
            text, where = composer.describe(_PLURAL[kind], name)
            yield name, text, origin_of(where, composer.places) if where else ""
        elif kind in _REGISTERED:
            registry = REGISTRIES[_REGISTERED[kind]]
            yield name, summary_of(registry.target(name)), registry.origin(name)


def _fetched(name: str) -> tuple[str, str]:
    """What a recipe of the library says of itself, and where it was fetched from."""
    file = library_recipe(name)
    if file is None:
        return "several recipes; llm-export get --list", "library"
    try:
        said = read_recipe(file).get("description", "")
        origin = json.loads((file.parent / ORIGIN).read_text(encoding="utf-8"))["origin"]
    except (LlmExportError, OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read: {str(error).splitlines()[0]}", "library"
    return printable(str(said)), printable(str(origin))


def _plugins(composer: Composer) -> Iterator[_Row]:
    """A row for each plugin, then one for each clash. What they name is not imported: doctor does
    that."""
    for provider in activate(composer.config_dir):
        brought = provider.plugin
        parts = [f"{kind.replace('_', ' ')}: {', '.join(names)}"
                 for kind in REGISTRIES if (names := getattr(brought, kind, None))]  # fmt: skip
        places = [p for p in composer.places if p.origin == provider.origin]
        count = sum(1 for place in places for _ in place.names())
        parts += [f"{count} options and recipes"] if count else []
        text = f"broken: {provider.error}" if provider.error else "; ".join(parts) or "nothing"
        yield provider.name, text, provider.origin
    for clash in clashes(composer.places):
        yield "", f"clash: the {clash.what}", f"{clash.first} and {clash.second}"


def _print_rows(rows: list[_Row], origins: bool) -> None:
    width = max((len(name) for name, _, _ in rows), default=0)
    if not rows:
        print("  none")
    for name, text, origin in rows:
        print(f"  {name:<{width}}  {text}" + (f"  [{origin}]" if origins and origin else ""))
