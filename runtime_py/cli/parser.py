"""A parser of arguments that answers a mistake in three lines, the nearest name among them."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import NoReturn

from runtime_py.errors import ArgumentError

_UNKNOWN = "unrecognized arguments: "
_MISSING = "the following arguments are required: "


class Parser(argparse.ArgumentParser):
    _given: Sequence[str] = ()

    def answer(self, words: Sequence[str]) -> argparse.Namespace:
        """The parsed words.

        Raises:
            ArgumentError: they are not right. SystemExit: --help.
        """
        self._given = words
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """Answer a mistake; an unknown option first, since it may be why another one is missing.

        Raises:
            ArgumentError: always.
        """
        if (unknown := self._unknown()) is not None:
            self.refuse_option(*unknown)
        help_line = f"{self.prog} --help"
        if message.startswith(_UNKNOWN):
            further = message.removeprefix(_UNKNOWN)
            if short := re.match(r"-[a-zA-Z]\S*", further):
                self.refuse(f"there is no option '{short[0]}'", help_line)
            self.refuse(f"it takes no further word: {further or repr(further)}", help_line)
        if message.startswith(_MISSING):
            missing = self._missing(message.removeprefix(_MISSING).split(", "))
            verb = "is" if len(missing) == 1 else "are"
            self.refuse(f"{' and '.join(missing)} {verb} missing", self._shortest())
        option = message.removeprefix("argument ").partition(": ")[0].partition("/")[0]
        action = self._option_string_actions.get(option)
        if action is not None and re.search(r": expected .*arguments?$", message):
            self.refuse(f"{option} takes a value: {option} {_name(action)}", help_line)
        self.refuse(_in_words(message), help_line)

    def refuse(self, what: str, fix: str) -> NoReturn:
        """Raise the error of a mistake."""
        raise ArgumentError(what, where=self.prog, fix=fix)

    def refuse_option(self, option: str, value: str | None) -> NoReturn:
        """Raise the error of an unknown option, with the value that follows it."""
        near = self.longer(option) or difflib.get_close_matches(
            option, self.options(), n=1, cutoff=0.5
        )
        help_line = f"{self.prog} --help"
        fix = f"did you mean '{near[0]}'? {help_line}" if near else help_line
        self.refuse(f"there is no option '{option}'", fix)

    def longer(self, option: str) -> list[str]:
        """The options that an unknown one begins."""
        return [name for name in self.options() if name.startswith(option)]

    def options(self) -> list[str]:
        return [name for name in self._option_string_actions if name.startswith("--")]

    def _unknown(self) -> tuple[str, str | None] | None:
        given = list(self._given)
        given = given[: given.index("--")] if "--" in given else given
        for index, word in enumerate(given):
            option, has_value, value = word.partition("=")
            if not re.match(r"--[a-zA-Z]", option) or option in self._option_string_actions:
                continue
            after = given[index + 1 : index + 2]
            follows = value if has_value else next((w for w in after if w[:1] != "-"), None)
            return option, follows
        return None

    def _missing(self, names: Sequence[str]) -> list[str]:
        """Those that are needed; argparse names words that may be none, too."""
        of = {a.metavar or a.dest: a for a in self._actions if not a.option_strings}
        return [
            _name(of[name]) if name in of else name
            for name in names
            if name not in of or _count(of[name]) not in ("*", "?")
        ]

    def _shortest(self) -> str:
        """The program with all that it needs."""
        words = [self.prog]
        for action in self._actions:
            if action.option_strings and action.required:
                words += [action.option_strings[-1], _name(action)]
            elif not action.option_strings and _count(action) not in ("*", "?"):
                words.append(_name(action))
        return " ".join(words)


def _count(action: argparse.Action) -> int | str | None:
    # Some Pythons overwrite nargs while they parse intermixed arguments.
    return getattr(action, "save_nargs", action.nargs)


def _name(action: argparse.Action) -> str:
    """A positional argument, or the value of an option, as the usage line shows it."""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    if action.metavar is None and action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.metavar or action.dest.upper()


def _in_words(message: str) -> str:
    """What argparse says of one argument."""
    name, _, said = message.removeprefix("argument ").partition(": ")
    if not said:
        return message
    said = re.sub(
        r"invalid choice: (.*) \(choose from (.*)\)",
        lambda found: f"there is no {found[1]}; choices: {found[2].replace(chr(39), '')}",
        said,
    )
    said = re.sub(r"invalid int value: (.*)", r"\1 is not a whole number", said)
    said = re.sub(r"invalid float value: (.*)", r"\1 is not a number", said)
    said = said.replace("not allowed with argument", "not together with")
    return f"{name}: {said}"
