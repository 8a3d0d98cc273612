"""Write recipe.yaml, the resolved recipe in a bundle."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from enum import Enum
from typing import Any

import yaml

from llm_export.config.renamed import rename_in
from llm_export.config.schema import GROUPS, Recipe
from llm_export.home import expanded

# Defaults of a recipe that contains all values instead of choosing options: every group is empty,
# and `group=option` on the command line replaces it.
SELF_CONTAINED_DEFAULTS: list[Any] = [
    "/schema/recipe@_here_",
    *({group: None} for group in GROUPS),
    "_self_",
]

LOCK_FORMAT = 1

RECIPE_HEADER = """\
# Every value of this recipe, resolved. Run it again:  llm-export run recipe.yaml
# Groups can still be swapped, and keys overridden:    llm-export run recipe.yaml quant=none
"""


def plain(value: Any) -> Any:
    """Convert enums to their values, at any depth."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data, without ``out``, which is set on the command line."""
    body = plain(asdict(recipe))
    body.pop("out")
    # Make paths absolute: the file does not record the working directory of the run.
    calibration = body["quant"]["calibration"]
    for part, key in (
        (body["checkpoint"], "path"), (body["checkpoint"], "config_path"),
        (body["checkpoint"], "adapter"),
        (body["verify"], "text"), (body["train"], "text"), (calibration, "text"),
        (body["evaluate"], "text"),
    ):  # fmt: skip
        if part.get(key) is not None:
            part[key] = str(expanded(part[key]).absolute())
    folders = body["evaluate"]["task_paths"]
    body["evaluate"]["task_paths"] = [str(expanded(path).absolute()) for path in folders]
    return {"name": body.pop("name"), "description": body.pop("description"), **body}


def is_place(override: str) -> bool:
    """Whether an override only sets the output folder, which does not affect the bundle."""
    return override.lstrip("+").startswith("out=")


def recipe_yaml(recipe: Recipe, header: bool = True) -> str:
    """The text of a recipe file that contains every value; its groups can still be replaced."""
    return (RECIPE_HEADER if header else "") + self_contained(resolved(recipe))


def self_contained(body: dict[str, Any]) -> str:
    """The text of a recipe file, without its header, for a body returned by ``resolved``."""
    return dump({"defaults": SELF_CONTAINED_DEFAULTS, **body})


class _Dumper(yaml.SafeDumper):
    """Writes long lists of scalars, such as RoPE factors per channel, in flow style."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        long = len(data) > 8 and not any(isinstance(item, dict | list) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=long or None)


_Dumper.add_representer(list, _Dumper.represent_list)


def dump(value: Any) -> str:
    """YAML text; the order of keys is kept."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def made_from(lock: dict[str, Any], recipe: Recipe) -> bool:
    """Whether a lock was written for exactly this recipe."""
    locked = deepcopy(lock["recipe"])
    rename_in(locked)
    return bool(locked == yaml.safe_load(dump(resolved(recipe))))
