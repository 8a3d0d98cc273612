"""Flags that say what an answer may be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.errors import InputError


def add_constraint(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json-schema", metavar="FILE|TEXT",
                       help="the answer is JSON of this JSON schema")  # fmt: skip
    group.add_argument("--regex", metavar="REGEX", help="this expression matches the whole answer")
    group.add_argument("--grammar", metavar="FILE", help="the answer is of this Lark grammar")
    group.add_argument("--choice", metavar="A,B,...", help="the answer is one of these texts")


def constraint_of(options: argparse.Namespace) -> dict[str, Any]:
    """``constraint``, if one was given."""
    from runtime_py.constraints import Choice, Grammar, JsonSchema, Regex

    makers: dict[str, Callable[[str], Any]] = {
        "json_schema": lambda value: JsonSchema(_text("--json-schema", value)),
        "regex": Regex,
        "grammar": lambda value: Grammar(_text("--grammar", value)),
        "choice": lambda value: Choice(value.split(",")),
    }
    with api.runtime_errors():
        for name, make in makers.items():
            if (value := getattr(options, name)) is not None:
                return {"constraint": make(value)}
    return {}


def _text(flag: str, value: str) -> str:
    """What a file says; JSON itself stands for itself."""
    if value.lstrip().startswith("{"):
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=f"{flag} {value}") from None
    except ValueError as error:
        raise InputError(f"not valid UTF-8: {error}", where=f"{flag} {value}") from None
