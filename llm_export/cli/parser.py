"""A parser of a verb's arguments that answers an unknown option with what may be meant."""

from __future__ import annotations

from typing import NoReturn

from llm_export.config.messages import known_key
from llm_export.errors import RecipeError, did_you_mean, nearest
from runtime_py.cli.parser import Parser


class VerbParser(Parser):
    """The errors of ``answer`` are RecipeErrors."""

    def refuse(self, what: str, fix: str) -> NoReturn:
        raise RecipeError(what, where=self.prog, fix=fix)

    def refuse_option(self, option: str, value: str | None) -> NoReturn:
        self.refuse(f"there is no option '{option}'", self._fix(option, value or "VALUE"))

    def _fix(self, option: str, value: str) -> str:
        known, key = self.options(), option.lstrip("-")
        takes_keys = any(action.dest in ("words", "overrides") for action in self._actions)
        if takes_keys and known_key(key):
            return f"keys of a recipe take no dashes: {key}={value}"
        if len(longer := self.longer(option)) == 1:
            return f"did you mean '{longer[0]}'? {self.prog} --help"
        return did_you_mean(option, known) if nearest(option, known) else f"{self.prog} --help"
