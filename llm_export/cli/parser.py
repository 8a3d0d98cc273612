"""A parser of a verb's arguments that answers an unknown option with what may be meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from llm_export.config.messages import known_key
from llm_export.errors import RecipeError, did_you_mean, nearest

_UNKNOWN = "unrecognized arguments: "


class VerbParser(argparse.ArgumentParser):
    _given: Sequence[str] = ()

    def answer(self, words: Sequence[str]) -> argparse.Namespace:
        """The parsed words.

        Raises:
            RecipeError: an option is unknown. SystemExit: another mistake, or --help.
        """
        self._given = words
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """Answer an unknown option in the way of other mistakes; leave the rest to argparse.

        Raises:
            RecipeError: the option is unknown.
        """
        words = message.removeprefix(_UNKNOWN).split() if message.startswith(_UNKNOWN) else []
        unknown = next((word for word in words if word.startswith("--")), None)
        if unknown is None:
            super().error(message)
        option, _, value = unknown.partition("=")
        # What follows it was taken as a word of its own.
        after = self._given[self._given.index(unknown) + 1 :] if unknown in self._given else []
        if not value and after and not after[0].startswith("-"):
            value = after[0]
        raise RecipeError(
            f"there is no option '{option}'",
            where=self.prog,
            fix=self._fix(option, value or "VALUE"),
        )

    def _fix(self, option: str, value: str) -> str:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        key = option.lstrip("-")
        if any(action.dest == "words" for action in self._actions) and known_key(key):
            return f"keys of a recipe take no dashes: {key}={value}"
        return did_you_mean(option, known) if nearest(option, known) else f"{self.prog} --help"
