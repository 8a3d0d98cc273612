"""Print the differences between two resolved recipes.

llm-export diff smollm2_135m_xnnpack_8da8w my_recipe.yaml
llm-export diff outputs/one/recipe.yaml outputs/another/recipe.yaml
llm-export diff smollm2_135m_xnnpack_8da8w quant=8da4w     what overrides change
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from llm_export import api
from llm_export.cli.layout import fold, page_columns
from llm_export.cli.recipe_args import split_words
from llm_export.config.difference import ABSENT
from llm_export.errors import RecipeError

_LEAST = 16
"""Columns of a value, at least."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="RECIPE|FILE",
                        help="two recipes (names or YAML files), with overrides of the second; "
                        "or one, and overrides of it (KEY=VALUE)")  # fmt: skip
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    left, rest = split_words(options.words)
    right, overrides = split_words(rest)
    if left is None or (right is None and not overrides):
        raise RecipeError(
            "two recipes, or a recipe and overrides, can be compared",
            where=" ".join(options.words), fix="llm-export diff RECIPE RECIPE",
        )  # fmt: skip
    found = api.diff(left, right, overrides, options.config_dir)
    if options.json:
        print(json.dumps([_as_dict(d.key, d.left, d.right) for d in found], indent=2))
        return
    if not found:
        print("no difference")
        return
    titles = (left, " ".join([right or left, *overrides] if right else overrides))
    print(table([("key", *titles), *((d.key, _said(d.left), _said(d.right)) for d in found)]))


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows of a key and its two values. Values that leave no room beside each other are below the
    key, folded to fit the terminal."""
    width = max(len(key) for key, _, _ in rows)
    room = max(2 * _LEAST, page_columns() - width - 4)
    beside = [row for row in rows if len(row[1]) <= room // 2 and len(row[2]) <= room // 2]
    middle = max((len(before) for _, before, _ in beside), default=0)
    lines = []
    for key, before, after in rows:
        if (key, before, after) in beside:
            lines.append(f"{key:<{width}}  {before:<{middle}}  {after}")
        else:
            lines += [key, fold(f"  {before}"), fold(f"  -> {after}")]
    return "\n".join(lines)


def _said(value: Any) -> str:
    return "-" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _as_dict(key: str, left: Any, right: Any) -> dict[str, object]:
    sides = {"left": left, "right": right}
    return {"key": key, **{side: v for side, v in sides.items() if v is not ABSENT}}
