"""Safe parsing of untrusted YAML, with limits on size, nesting depth and number of nodes."""

from __future__ import annotations

from importlib.abc import Traversable
from typing import Any

import yaml

from llm_export.config.number_ranges import require_bits
from llm_export.errors import InputError, RecipeError

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 20_000
"""Maximum number of values and keys; the longest shipped recipe has a few hundred."""
_MAX_NUMBER = 64
"""Maximum characters of a number: parsing YAML's 1:59:59:... takes quadratic time."""


class _PlainLoader(yaml.SafeLoader):
    """A YAML loader without aliases, with which a few lines can expand without bound, and without
    keys that are stated twice, of which YAML's own rules keep the last."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases are not allowed in a recipe", event)
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _problem(f"more than {MAX_DEPTH} levels are not allowed in a recipe", event)
        if self._nodes > MAX_NODES:
            raise _problem(f"more than {MAX_NODES} values are not allowed in a recipe", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            _require_distinct(node)
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag.endswith((":int", ":float"))
            and len(node.value) > _MAX_NUMBER
        ):
            raise _problem(f"a number has more than {_MAX_NUMBER} characters", event)
        return node


def _require_distinct(node: yaml.MappingNode) -> None:
    first: dict[str, Any] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in first:
            lines = f"lines {first[key.value].line + 1} and {key.start_mark.line + 1}"
            raise _Twice(None, None, f"the key '{key.value}' is there twice, in {lines}",
                         key.start_mark)  # fmt: skip
        first[key.value] = key.start_mark


class _Twice(yaml.composer.ComposerError):
    """A key that a mapping has twice."""


def _problem(text: str, event: Any) -> yaml.YAMLError:
    return yaml.composer.ComposerError(None, None, text, event.start_mark)


def read_plain(path: Traversable) -> dict[str, Any]:
    """Read a mapping of strings, numbers, booleans, lists and mappings from a YAML file.

    Raises:
        InputError: the file cannot be read.
        RecipeError: too large, not YAML, not a mapping, or with values of another type.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"the recipe cannot be read: {error.strerror or error}", where=str(path)
        ) from None
    return parse_plain(data, str(path))


def parse_plain(data: bytes, where: str) -> dict[str, Any]:
    """Parse YAML bytes as ``read_plain`` does; ``where`` is their name in error messages."""
    if len(data) > MAX_BYTES:
        raise RecipeError(
            f"the recipe is larger than {MAX_BYTES // 1_000_000} MB", where=where,
            fix="a recipe holds choices and values; weights and data have files of their own",
        )  # fmt: skip
    try:
        body = yaml.load(data.decode("utf-8"), Loader=_PlainLoader)
    except _Twice as error:
        raise RecipeError(
            str(error.problem), where=_place(where, error).rpartition(": ")[0],
            fix="keep one of them, with the values of both below it",
        ) from None  # fmt: skip
    # PyYAML's constructors also raise the errors of int() and date(), and IndexError.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RecipeError("the recipe is not valid YAML", where=_place(where, error)) from None
    if not isinstance(body, dict):
        raise RecipeError(
            "the recipe is not a mapping of keys to values", where=where,
            fix="llm-export new FILE.yaml writes one; llm-export ls recipes lists those that ship",
        )  # fmt: skip
    _require_plain(body, "", where)
    return body


def _require_plain(node: Any, key: str, where: str) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            if not isinstance(name, str):
                raise RecipeError(
                    f"a key is not a word: {str(name)[:40]}", where=f"{where}: {key or 'recipe'}",
                    fix="quote it",
                )  # fmt: skip
            _require_plain(value, f"{key}.{name}" if key else name, where)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _require_plain(value, f"{key}[{index}]", where)
    elif isinstance(node, int):
        require_bits(node, f"{where}: {key}")
    elif node is not None and not isinstance(node, str | int | float):
        raise RecipeError(
            f"a {type(node).__name__} is not allowed in a recipe", where=f"{where}: {key}",
            fix="quote it, if it is meant as text",
        )  # fmt: skip


def _place(where: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = str(error).splitlines() or [type(error).__name__]
    problem = getattr(error, "problem", None) or lines[0]
    return f"{where}:{mark.line + 1}: {problem}" if mark else f"{where}: {problem}"
