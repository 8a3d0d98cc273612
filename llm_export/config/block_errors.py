"""Values of a recipe's file where a mapping belongs, of which OmegaConf names no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_origin

from llm_export.config.plain_words import block_of, explained, hint_of, kind_words
from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError, excerpt


def require_blocks(body: Mapping[str, Any], where: str, prefix: str = "") -> None:
    """Check that each block of the schema is a mapping, as far as the file states it.

    Args:
        where: name of the file.

    Raises:
        RecipeError: naming the key, and what it takes.
    """
    for name, value in body.items():
        key = f"{prefix}{name}"
        hint = hint_of(key)
        if get_origin(hint) is list or not (is_dataclass(block_of(hint)) or _is_mapping(hint)):
            continue
        if isinstance(value, dict):
            if not _is_mapping(hint):
                require_blocks(value, where, f"{key}.")
        elif value is not None and not (isinstance(value, str) and "${" in value):
            chosen = key in GROUPS and isinstance(value, str)
            raise RecipeError(
                f"{key} takes {kind_words(hint)}, not {excerpt(value)}", where=f"{where}: {key}",
                fix=f"to choose an option: defaults: [export_base, override {key}: {value}, _self_]"
                if chosen else explained(key),
            )  # fmt: skip


def _is_mapping(hint: Any) -> bool:
    return get_origin(hint) is dict
