"""Words of a command line that composes a recipe: RECIPE|FILE [overrides]."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from llm_export.errors import InputError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_OVERRIDE = re.compile(r"^[+~]|=")


def add_recipe_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="RECIPE|FILE KEY=VALUE ...",
                        help="a recipe's name or a YAML file, then Hydra overrides; "
                        "without a recipe, the defaults")  # fmt: skip
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def split_words(words: list[str]) -> tuple[str | None, list[str]]:
    """(recipe, overrides): the recipe is the first word that is no override."""
    recipe: str | None = None
    overrides = []
    for word in words:
        if recipe is None and not _OVERRIDE.search(word):
            recipe = word
        else:
            overrides.append(word)
    return recipe, overrides


def is_hub_id(word: str) -> bool:
    """ORG/NAME is a repository of the hub, unless there is a folder ORG here."""
    return _HUB_ID.fullmatch(word) is not None and not Path(word).parent.is_dir()


def command_for(file: Path) -> str:
    """The command that runs a recipe's file."""
    plain = str(file) if "/" in str(file) or file.suffix in (".yaml", ".yml") else f"./{file}"
    return f"llm-export run {shlex.quote(plain)}"


def write_recipe(file: Path, text: str, *, force: bool = False) -> None:
    """Raises InputError: it is no .yaml file, is there already, or cannot be written."""
    if file.suffix not in (".yaml", ".yml"):
        raise InputError("a recipe's file ends in .yaml", where=str(file), fix=f"{file}.yaml")
    if file.exists() and not force:
        raise InputError(
            "there is such a file already", where=str(file), fix="another name, or --force"
        )
    write_text(file, text)


def write_text(file: Path, text: str) -> None:
    """The file appears whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"the file cannot be written: {error.strerror}", where=str(file),
            fix="a folder that exists and can be written to",
        ) from None  # fmt: skip
