"""List recipes and the options of each group.

llm-export ls                 everything; of long lists, the names only
llm-export ls recipes         or models, quants, backends, runtimes, ...: with descriptions
"""

from __future__ import annotations

import argparse
import textwrap

from llm_export.config.compose import Composer
from llm_export.config.schema import GROUPS
from llm_export.errors import MANY, RecipeError, did_you_mean

_PLURAL = {"recipes": "", **{f"{group}s": group for group in GROUPS}}
_PLURAL["verify"] = "verify"
del _PLURAL["verifys"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", help=", ".join(_PLURAL))
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    composer = Composer(None, options.config_dir)
    what = options.what
    if what is not None and what in GROUPS:
        what = next(plural for plural, group in _PLURAL.items() if group == what)
    if what is not None and what not in _PLURAL:
        raise RecipeError(f"there is nothing called '{what}'", fix=did_you_mean(what, _PLURAL))
    for plural in [what] if what else list(_PLURAL):
        names = composer.options(_PLURAL[plural])
        if what is None and len(names) > MANY:
            print(f"{plural} (llm-export ls {plural} describes them)")
            print(textwrap.fill("  ".join(names), 100, initial_indent="  ", subsequent_indent="  "))
        else:
            print(plural)
            _describe(composer, _PLURAL[plural], names, origins=what is not None)


def _describe(composer: Composer, group: str, names: list[str], origins: bool) -> None:
    width = max(map(len, names), default=0)
    for name in names:
        text, origin = composer.describe(group, name)
        print(f"  {name:<{width}}  {text}" + (f"  [{origin}]" if origins and origin else ""))
