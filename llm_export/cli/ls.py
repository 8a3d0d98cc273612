"""List recipes and the options of each group.

llm-export ls                 everything
llm-export ls recipes         or models, quants, backends, runtimes, ...
"""

from __future__ import annotations

import argparse

from llm_export.config.compose import Composer
from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError, did_you_mean

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
        group = _PLURAL[plural]
        names = composer.options(group)
        print(f"{plural}")
        width = max(map(len, names), default=0)
        for name in names:
            text, origin = composer.describe(group, name)
            shown = origin if what else ""
            print(f"  {name:<{width}}  {text}" + (f"  [{shown}]" if shown else ""))
