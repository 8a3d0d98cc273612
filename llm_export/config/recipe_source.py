"""Read recipe text that a stranger may have written, and refuse what is not data."""

from __future__ import annotations

import re
from importlib.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from llm_export.errors import InputError, RecipeError

_RESOLVER = re.compile(r"\$\{\s*[\w.]+\s*:")

_NOT_IN_FILES = {
    "hydra": "it configures the program that reads the recipe",
    "out": "where to write is said on the command line, out=FOLDER",
}


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, by which a few lines can grow without bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, "aliases are not allowed in a recipe", event.start_mark
            )
        return super().compose_node(parent, index)


def recipe_file(source: str | None) -> Path | None:
    """The file that ``source`` names; None if it is a recipe's name.

    Raises:
        InputError: there is no such file.
    """
    if source is None or not (source.endswith((".yaml", ".yml")) or "/" in source):
        return None
    path = Path(source)
    if not path.is_file():
        raise InputError("there is no such recipe file", where=source, fix="llm-export ls")
    return path


def read_recipe(path: Traversable) -> dict[str, Any]:
    """The body of a recipe file, with a ``defaults`` list.

    Raises:
        RecipeError: not YAML, not a mapping, or holding what is not data.
    """
    try:
        body = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError("the recipe is not valid YAML", where=_yaml_place(path, error)) from None
    if not isinstance(body, dict):
        raise RecipeError("the recipe is not a mapping of keys to values", where=str(path))
    for key, why in _NOT_IN_FILES.items():
        if key in body:
            raise RecipeError(f"'{key}' is not allowed in a recipe: {why}", where=str(path))
    refuse_code(body)
    body.setdefault("defaults", ["export_base", "_self_"])
    return body


def _yaml_place(path: Traversable, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{path}:{mark.line + 1}: {problem}" if mark else f"{path}: {problem}"


def refuse_code(data: Any) -> None:
    """A recipe is data: no objects to build, no resolver that reads the machine.

    Raises:
        RecipeError: naming the key.
    """

    def walk(node: Any, key: str) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                if name in ("_target_", "_partial_", "_args_", "_convert_"):
                    raise RecipeError(f"'{name}' is not allowed in a recipe", where=key or "recipe")
                walk(value, f"{key}.{name}" if key else str(name))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{key}[{index}]")
        elif isinstance(node, str) and _RESOLVER.search(node):
            raise RecipeError(
                "resolvers are not allowed in a recipe",
                where=f"{key}: {node}",
                fix="write the value itself, or refer to another key as ${group.key}",
            )

    walk(data, "")


def refuse_foreign_targets(hydra: Any) -> None:
    """Hydra builds objects from its own node; only its own and installed plugins' may be there."""
    if isinstance(hydra, dict):
        target = str(hydra.get("_target_", "hydra._internal."))
        if not target.startswith(("hydra._internal.", "hydra_plugins.")):
            raise RecipeError(f"'_target_: {target}' is not allowed", where="hydra")
        for value in hydra.values():
            refuse_foreign_targets(value)
    elif isinstance(hydra, list):
        for value in hydra:
            refuse_foreign_targets(value)
