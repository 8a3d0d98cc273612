"""Command-line arguments that compose a recipe: RECIPE|FILE [overrides]."""

from __future__ import annotations

import argparse
import re

_OVERRIDE = re.compile(r"^[+~]|=")


def add_recipe_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="RECIPE|FILE KEY=VALUE ...",
                        help="a recipe's name or a YAML file, then Hydra overrides; "
                        "without a recipe, the defaults")  # fmt: skip
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of commands that run stages."""
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress, only the result")
    parser.add_argument("--no-cache", action="store_true",
                        help="run every stage, and keep nothing for later runs")  # fmt: skip
    parser.add_argument("--no-limits", action="store_true",
                        help="start even if memory or disk will not do")  # fmt: skip


def split_words(words: list[str]) -> tuple[str | None, list[str]]:
    """Split arguments into (recipe, overrides): the recipe is the first that is no override."""
    recipe: str | None = None
    overrides = []
    for word in words:
        if recipe is None and not _OVERRIDE.search(word):
            recipe = word
        else:
            overrides.append(word)
    return recipe, overrides
