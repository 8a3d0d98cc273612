"""Chat in the terminal; with --message, print one answer and exit.

In a conversation /reset starts a new one, /exit or Ctrl-D ends, Ctrl-C stops an answer. Lines that
are piped in are answered one after another.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from runtime_py.cli.flags import add_flags, loaded, settings_of
from runtime_py.cli.printing import ended, printable, show
from runtime_py.errors import BundleRuntimeError

if TYPE_CHECKING:
    from runtime_py import LLM

Message = dict[str, Any]
_COMMANDS = "/reset starts a new conversation, /exit or Ctrl-D ends, Ctrl-C stops an answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)
    parser.add_argument("--message", metavar="TEXT", help="ask this, print the answer, exit")
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        BundleRuntimeError: the bundle has no chat template, or cannot answer ``--message``.
    """
    start = [{"role": "system", "content": options.system}] if options.system else []
    with loaded(options) as llm:
        if llm.template is None:
            raise BundleRuntimeError(
                "the bundle has no chat template: it is a base model",
                where=str(options.bundle), fix="python -m runtime_py generate",
            )  # fmt: skip
        if options.message is not None:
            _answered(llm, start, options.message, options)
        else:
            _converse(llm, start, options)


def _converse(llm: LLM, start: list[Message], options: argparse.Namespace) -> None:
    history = start
    if sys.stdin.isatty():
        print(f"{printable(llm.bundle.manifest['name'])}; {_COMMANDS}", file=sys.stderr)
    while (text := _read_line()) is not None:
        text = text.rstrip()
        if text in ("/reset", "/new"):
            history = start
        elif text in ("/exit", "/quit"):
            return
        elif text.startswith("/") and " " not in text and text.count("/") == 1:
            print(f"there is no command {printable(text)}; {_COMMANDS}", file=sys.stderr)
        elif text.strip():
            try:
                history = _answered(llm, history, text.strip(), options)
            except BundleRuntimeError as error:
                print(f"error: {printable(str(error))}\n/reset starts over",
                      file=sys.stderr)  # fmt: skip


def _answered(
    llm: LLM, history: list[Message], text: str, options: argparse.Namespace
) -> list[Message]:
    """The conversation with the question and its answer, which is printed."""
    asked = [*history, {"role": "user", "content": text}]
    result = show(llm.stream(asked, **settings_of(options)))
    ended(result, stats=options.stats)
    return [*asked, result.message]


def _read_line() -> str | None:
    """None at the end of the input."""
    try:
        if sys.stdin.isatty():
            return input("> ")
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None
    return line.rstrip("\n") if line else None
