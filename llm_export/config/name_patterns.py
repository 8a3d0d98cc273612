"""Regular expressions that a recipe or a checkpoint states, matched within bounded time.

Backtracking can take exponential time, and ``re`` cannot be interrupted. ``regex`` reads the same
syntax, remembers most of what cannot match, and stops on time.
"""

from __future__ import annotations

import time
from functools import lru_cache

import regex

from llm_export.errors import RecipeError, excerpt

MAX_CHARACTERS = 1000
SECONDS = 0.5
"""Processor time of all slow matches of one pattern; an honest one takes microseconds a name."""
_SLOW = 0.01
_PROBE_SECONDS = 0.1
_PROBES = (
    "",
    "head",
    "layers.11.attention.qkv",
    "model.layers.127.mlp.experts.255.down_proj.lora_A.default.weight",
    "a" * 64,
)
"""Names that every pattern is tried on before it is accepted."""


class NamePattern:
    """A pattern for whole names.

    Raises:
        ValueError: not a regular expression, too long, or too slow on plain names.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._left = _PROBE_SECONDS
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"more than {MAX_CHARACTERS} characters in a pattern")
        try:
            self._compiled = regex.compile(text)
        except RecursionError:
            raise ValueError("not a regular expression: too many brackets in each other") from None
        except (regex.error, OverflowError, MemoryError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        try:
            for name in _PROBES:
                self._matches(name)
        except TimeoutError:
            raise ValueError(
                "a pattern that takes exponential time: repetitions within repetitions"
            ) from None
        self._left = SECONDS

    def _matches(self, name: str) -> bool:
        if self._left <= 0:
            raise TimeoutError
        begun = time.process_time()
        found = self._compiled.fullmatch(name, timeout=self._left) is not None
        if (spent := time.process_time() - begun) > _SLOW:
            self._left -= spent
        return found

    def matches(self, name: str) -> bool:
        """Whether the pattern matches the whole name.

        Raises:
            RecipeError: that takes too long.
        """
        try:
            return self._matches(name)
        except TimeoutError:
            raise RecipeError(
                "a pattern that takes exponential time: repetitions within repetitions",
                where=f"pattern {excerpt(self.text)}, on the name {excerpt(name)}",
                fix="repeat single characters only, as in layers\\.[0-9]+\\..*",
            ) from None


def name_pattern(text: str) -> NamePattern:
    """The pattern, compiled and tried once; see ``NamePattern``."""
    found = _remembered(text)
    if isinstance(found, str):
        raise ValueError(found)
    return found


@lru_cache(maxsize=8192)
def _remembered(text: str) -> NamePattern | str:
    """The pattern, or what is wrong with it."""
    try:
        return NamePattern(text)
    except ValueError as error:
        return str(error)


def matches_name(pattern: str, name: str) -> bool:
    """Whether a pattern that ``require_pattern`` has accepted matches the whole name."""
    # The default, of most rules: a model may have tens of thousands of names.
    return pattern == ".*" or name_pattern(pattern).matches(name)


def require_pattern(pattern: str, key: str = "pattern") -> None:
    """Raise ValueError unless the text is a regular expression whose time is bounded."""
    try:
        name_pattern(pattern)
    except ValueError as error:
        raise ValueError(f"{key}={excerpt(pattern)}: {error}") from None
