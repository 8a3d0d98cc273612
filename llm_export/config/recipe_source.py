"""Read untrusted recipe files, and refuse anything that is not plain data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from importlib.abc import Traversable
from pathlib import Path
from typing import Any

from llm_export.compat import hydra_targets
from llm_export.config.defaults_list import completed, require_names
from llm_export.config.library import is_shared, library_recipe
from llm_export.config.plain_yaml import read_plain
from llm_export.config.quant_rule_errors import require_few_rules
from llm_export.config.quoting import quoted_override
from llm_export.config.recipe_files import LOCK_FORMAT, SELF_CONTAINED_DEFAULTS
from llm_export.config.shared_recipe import beside, confined
from llm_export.errors import InputError, RecipeError

_REFERENCE = re.compile(r"\$\{\s*[\w.\[\]]+\s*\}")
"""``${group.key}``. Nested ``${`` are not allowed, because they could form a resolver's name."""
WEIGHTS = (".safetensors", ".gguf", ".bin", ".pth", ".pt")
MAX_OVERRIDE = 20_000
"""Maximum characters of one override."""
MAX_BRACKETS = 1000

_NOT_IN_FILES = {
    "hydra": "it configures the program that reads the recipe",
    "out": "where to write is said on the command line, out=FOLDER",
}


def recipe_file(source: str | None) -> Path | None:
    """The file that ``source`` names; None if it is a recipe's name.

    Raises:
        InputError: there is no such file.
    """
    if source is None:
        return None
    named = source.endswith((".yaml", ".yml", *WEIGHTS)) or "/" in source
    if not named and not Path(source).is_dir():
        return None
    path = Path(source)
    missing = InputError("there is no such recipe file", where=source[:300], fix="llm-export ls")
    try:
        there = path.exists()
    except OSError:  # the name is too long for a file
        raise missing from None
    if there and path.is_file() and path.suffix not in WEIGHTS:
        return path
    kept = library_recipe(source)
    if kept is not None:
        return kept
    if there or path.suffix in WEIGHTS:
        raise _no_recipe(path)
    raise missing


def _no_recipe(path: Path) -> InputError:
    """The error for a bundle, a checkpoint or another folder in the place of a recipe."""
    what, words = "this is a checkpoint", f"model=auto {quoted_override(f'checkpoint.path={path}')}"
    recipes = sorted(path.glob("*.yaml")) if path.is_dir() else []
    if not path.exists():
        what = "there is no such file, and it is named like weights"
    elif (path / "manifest.json").is_file():
        what, words = "this is a bundle", shlex.quote(str(path / "recipe.yaml"))
    elif (path / "adapter_config.json").is_file():
        adapter = quoted_override(f"checkpoint.adapter={path}")
        what, words = "this is a LoRA adapter", f"model=auto checkpoint.path=BASE {adapter}"
    elif recipes and not any(p.suffix in WEIGHTS for p in path.iterdir()):
        what, words = "this is a folder", shlex.quote(str(recipes[0]))
    if words.startswith("model=auto"):
        words += " backend=xnnpack quant=8da8w"
    fix = f"llm-export run {words}"
    return InputError(f"{what}, not a recipe", where=str(path), fix=fix)


def read_recipe(path: Traversable) -> dict[str, Any]:
    """Read the body of a recipe file and complete its ``defaults`` list.

    Raises:
        RecipeError: not YAML, not a mapping, or with anything but plain data.
    """
    body = read_plain(path)
    if is_lock(body):
        body = {"defaults": SELF_CONTAINED_DEFAULTS, **locked_recipe(body, str(path))}
    for key, why in _NOT_IN_FILES.items():
        if key in body:
            raise RecipeError(f"'{key}' is not allowed in a recipe: {why}", where=str(path))
    refuse_code(body)
    require_few_rules(body)
    body["defaults"] = completed(body.get("defaults", ["export_base"]), str(path))
    if isinstance(path, Path) and is_shared(path):
        body = confined(body, path.parent)
    elif isinstance(path, Path):
        body = beside(body, path.parent)
    return body


def require_plain_option(name: str, file: Path) -> None:
    """Check a file of options, or a recipe that another one includes, as ``read_recipe`` does.

    Args:
        name: GROUP/NAME. Hydra's own group may refer to the machine, as Hydra's own files do: only
            a command line chooses from it.

    Raises:
        RecipeError: not YAML, not a mapping, or with anything but plain data.
    """
    try:
        body = read_plain(file)
        if not name.startswith("hydra/"):
            refuse_code(body)
            require_names(body.get("defaults"), str(file))
        require_few_rules(body)
    except RecipeError as error:
        if str(file) not in (error.where or ""):
            error.where = f"{file}: {error.where}" if error.where else str(file)
        raise


def is_lock(body: dict[str, Any]) -> bool:
    """Whether the body is that of a lock rather than of a recipe."""
    return "format" in body and "recipe" in body


def locked_recipe(lock: dict[str, Any], where: str) -> dict[str, Any]:
    """The recipe in a lock.

    Raises:
        RecipeError: the lock has a newer format, or contains no recipe.
    """
    version, recipe = lock["format"], lock["recipe"]
    if version != LOCK_FORMAT:
        raise RecipeError(
            f"the lock has format {str(version)[:20]}; this program reads {LOCK_FORMAT}",
            where=where, fix="pip install -U llm_export",
        )  # fmt: skip
    if not isinstance(recipe, dict) or "defaults" in recipe:
        raise RecipeError("the lock holds no resolved recipe", where=f"{where}: recipe")
    return recipe


def refuse_code(data: Any) -> None:
    """Refuse objects to instantiate (``_target_``) and resolvers, such as ``${oc.env:...}``.

    Raises:
        RecipeError: the message names the key.
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
        elif isinstance(node, str) and "${" in _REFERENCE.sub("", node):
            raise RecipeError(
                "resolvers are not allowed in a recipe",
                where=f"{key}: {node[:200]}",
                fix="write the value itself, or refer to another key as ${group.key}",
            )

    walk(data, "")


def refuse_code_in(overrides: Sequence[str]) -> None:
    """The same check for overrides, before they are parsed.

    Raises:
        RecipeError: the message names the override.
    """
    for override in overrides:
        if len(override) > MAX_OVERRIDE:
            raise RecipeError(
                f"an override has more than {MAX_OVERRIDE} characters",
                where=f"override {override[:60]}...", fix="write it into a recipe file",
            )  # fmt: skip
        if sum(override.count(bracket) for bracket in "[{(") > MAX_BRACKETS:
            raise RecipeError(
                f"an override has more than {MAX_BRACKETS} brackets",
                where=f"override {override[:60]}...", fix="write it into a recipe file",
            )  # fmt: skip
        key, _, value = override.partition("=")
        refuse_code({key: value})


def refuse_foreign_targets(hydra: Any) -> None:
    """Refuse foreign ``_target_`` values in Hydra's own node: Hydra instantiates its objects, so
    only classes of Hydra and of installed plugins are allowed."""
    if isinstance(hydra, dict):
        target = str(hydra.get("_target_", hydra_targets.OWN))
        if not target.startswith((hydra_targets.OWN, "hydra_plugins.")):
            raise RecipeError(f"'_target_: {target}' is not allowed", where="hydra")
        for value in hydra.values():
            refuse_foreign_targets(value)
    elif isinstance(hydra, list):
        for value in hydra:
            refuse_foreign_targets(value)
