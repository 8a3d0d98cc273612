"""Restrictions of shared recipes: only shipped options, and only files in the recipe's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError
from llm_export.home import expanded

PATHS = (
    ("checkpoint", "path"),
    ("checkpoint", "config_path"),
    ("checkpoint", "adapter"),
    ("verify", "text"),
    ("train", "text"),
    ("evaluate", "text"),
    ("quant", "calibration", "text"),
    ("quant", "calibration", "dataset"),
)
"""Keys whose value is a local file or folder."""
_DATASET = ("quant", "calibration", "dataset")
_ENTRY = re.compile(rf"(optional )?(override )?/?({'|'.join(GROUPS)})")
_OPTION = re.compile(r"[A-Za-z0-9][\w.+-]*")
_BASES = ("export_base", "_self_", "/schema/recipe@_here_")
_FIX = "a file beside the recipe, by a relative path; or give your own on the command line"


def confined(body: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe with its paths prefixed by ``folder``, after checking that none leaves it.

    Raises:
        RecipeError: a path leaves the folder, or ``defaults`` choose an option that is not shipped.
    """
    _require_shipped(body.get("defaults"))
    for key, value in path_values(body):
        if key == _DATASET and _is_hub_id(value) and not (folder / value).exists():
            continue
        require_inside(value, folder, ".".join(key))
        set_value(body, key, str(folder.resolve() / value))
    if task_folders(body):
        raise RecipeError(
            "a recipe of someone else names folders of evaluation tasks, which may hold code",
            where="evaluate.task_paths", fix="remove the key, or copy the recipe into your own",
        )  # fmt: skip
    for name, text in _strings(body.get("backend"), "backend"):
        if _leaves(text):
            raise RecipeError(
                "a recipe of someone else names a path of the machine",
                where=f"{name}: {text[:200]}", fix=f"{name}=... on the command line",
            )  # fmt: skip
    return body


def beside(body: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe with each relative path that is there from ``folder``, its own, as that one.
    Others stay as they are: relative to where the program runs."""
    for key, value in path_values(body):
        if isinstance(value, str) and value and _is_there(folder / value, value):
            set_value(body, key, str(folder / value))
    return body


def _is_there(path: Path, value: str) -> bool:
    try:
        return not Path(value).is_absolute() and not value.startswith("~") and path.exists()
    except (OSError, ValueError):  # no name of a file
        return False


def relative_to(body: dict[str, Any], folder: Path) -> None:
    """Write each path that is there relative to ``folder``, the recipe's own."""
    for key, value in path_values(body):
        path = expanded(str(value))
        if path.exists():
            set_value(body, key, os.path.relpath(path.absolute(), folder.absolute()))


def path_values(body: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(key, value) of each key in PATHS that is set."""
    for key in PATHS:
        node: Any = body
        for part in key:
            node = node.get(part) if isinstance(node, dict) else None
        if node is not None:
            yield key, node


def task_folders(body: dict[str, Any]) -> Any:
    """``evaluate.task_paths``; empty if there are none."""
    evaluate = body.get("evaluate")
    return evaluate.get("task_paths") if isinstance(evaluate, dict) else None


def set_value(body: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    """Set an existing key."""
    *parents, leaf = key
    node = body
    for part in parents:
        node = node[part]
    node[leaf] = value


def require_inside(value: Any, folder: Path, key: str) -> None:
    """Raise RecipeError unless ``value`` is a relative path that stays in ``folder`` after
    following links."""
    problem = None
    if not isinstance(value, str) or not value:
        problem = "is not a path"
    elif "${" in value:
        problem = "refers to another key"
    elif _leaves(value):
        problem = "leaves the recipe's folder"
    elif any(not c.isprintable() for c in value) or len(value) > 500:
        problem = "is not a path"
    elif not (folder / value).resolve().is_relative_to(folder.resolve()):
        problem = "leaves the recipe's folder through a link"
    if problem:
        raise RecipeError(
            f"a path in a recipe of someone else {problem}",
            where=f"{key}: {str(value)[:200]}",
            fix=_FIX,
        )


def _leaves(text: str) -> bool:
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    return (
        posix.is_absolute() or bool(windows.drive or windows.root)
        or ".." in (*posix.parts, *windows.parts) or text.startswith(("~", "$"))
    )  # fmt: skip


def _is_hub_id(value: Any) -> bool:
    """ORG/NAME."""
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value))


def _strings(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _strings(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _strings(value, f"{key}[{index}]")
    elif isinstance(node, str) and key != "backend.description":
        yield key, node


def _require_shipped(defaults: Any) -> None:
    for entry in defaults if isinstance(defaults, list) else []:
        good = entry in _BASES if isinstance(entry, str) else False
        if isinstance(entry, dict):
            good = all(
                _ENTRY.fullmatch(group) and (option is None or _is_option(option))
                for group, option in entry.items()
            )
        if not good:
            raise RecipeError(
                "a recipe of someone else may choose shipped options only",
                where=f"defaults: {str(entry)[:200]}",
                fix="write the option's values into the recipe: llm-export show prints them",
            )


def _is_option(option: Any) -> bool:
    # YAML reads `off` as false.
    return isinstance(option, bool) or (
        isinstance(option, str) and bool(_OPTION.fullmatch(option)) and ".." not in option
    )
