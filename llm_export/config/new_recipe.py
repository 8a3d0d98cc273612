"""Write a minimal recipe file for given choices and values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from llm_export.config.compose import BASE, Composer
from llm_export.config.schema import GROUPS
from llm_export.config.shared_recipe import relative_to
from llm_export.errors import RecipeError


def recipe_text(
    composer: Composer, overrides: Sequence[str], description: str, command: str, folder: Path
) -> str:
    """The text of a recipe file that applies ``overrides`` to the defaults.

    Args:
        command: the command that runs the file, for its first line.
        folder: of the file; paths are written relative to it.

    Raises:
        RecipeError: an override cannot be parsed, or is not allowed in a file.
    """
    choices: dict[str, str] = {}
    values: dict[str, Any] = {}
    for key, value in composer.values(overrides):
        if key in GROUPS and not isinstance(value, dict):
            choices[key] = value
        elif key == "out" or key.split(".")[0] == "hydra":
            raise RecipeError(f"'{key}' is said on the command line, not in a file", where=key)
        else:
            _put(values, key, value)
    relative_to(values, folder)
    defaults = [BASE, *({f"override {g}": choices[g]} for g in GROUPS if g in choices), "_self_"]
    body: dict[str, Any] = {"defaults": defaults}
    if description:
        body["description"] = description
    parts = [{"defaults": defaults}, {k: v for k, v in body.items() if k != "defaults"}, values]
    written = [yaml.safe_dump(p, sort_keys=False, allow_unicode=True) for p in parts if p]
    return f"# {command}\n" + "\n".join(written)


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise RecipeError(f"'{key}' is set, and what it is a part of, too", where=key)
    values[leaf] = value
