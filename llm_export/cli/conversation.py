"""A conversation in the terminal, or with lines that are piped in."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.runtime_args import describe, printable, show
from llm_export.errors import BundleError, did_you_mean

if TYPE_CHECKING:
    from runtime_py import LLM, Generation

Message = dict[str, Any]


def messages_of(system: str | None, turns: list[Message]) -> list[Message]:
    """With the system message before the turns, if there is one."""
    return [{"role": "system", "content": system}, *turns] if system else turns


class Conversation:
    """Reads lines, answers them, and obeys those that begin with a slash.

    Args:
        given: arguments of ``api.chat``.
        stats: print statistics after each answer.
    """

    def __init__(
        self, llm: LLM, given: Mapping[str, Any], *, system: str | None = None, stats: bool = False
    ) -> None:
        self._llm, self._given, self._system, self._stats = llm, given, system, stats
        self._turns: list[Message] = []
        self._last: Generation | None = None

    def run(self) -> None:
        """Until /exit or the end of the input.

        Raises:
            BundleError: the bundle has no chat template.
        """
        with api.runtime_errors():
            if self._llm.template is None:
                raise BundleError(
                    "the bundle has no chat template: it is a base model",
                    where=str(self._llm.bundle.path), fix="llm-export generate",
                )  # fmt: skip
        size = self._llm.program.path.stat().st_size / 1e6
        _note(
            f"{self._llm.bundle.manifest['name']}: {size:.1f} MB, "
            f"{self._llm.program.context_length} tokens of context; /help lists the commands"
        )
        while (line := _read_line()) is not None:
            if line.startswith("/"):
                name, _, text = line[1:].strip().partition(" ")
                if name in ("exit", "quit"):
                    return
                self._obey(name, text.strip())
            elif line.strip():
                self._answer(line.strip())

    def _obey(self, name: str, text: str) -> None:
        if name in COMMANDS:
            COMMANDS[name][1](self, text)
            return
        names = [f"/{known}" for known in (*COMMANDS, "exit")]
        _note(
            f"there is no command /{printable(name)}: {did_you_mean(f'/{name}', names)}\n"
            "to send a text that begins with a slash, put a space before it"
        )

    def _answer(self, text: str) -> None:
        said: list[str] = []
        messages = messages_of(self._system, [*self._turns, {"role": "user", "content": text}])

        def ask(write: Callable[[str], None]) -> Generation:
            def both(piece: str) -> None:
                said.append(piece)
                write(piece)

            return api.chat(self._llm, messages, on_text=both, **self._given)

        try:
            self._last = show(ask, stats=self._stats, ends=True)
        except BundleError as error:
            _note(f"error: {error}\n/reset starts over")
            return
        except KeyboardInterrupt:
            print(" [stopped]", flush=True)
            if not said:
                return
        self._turns = [
            *self._turns,
            {"role": "user", "content": text},
            {"role": "assistant", "content": "".join(said)},
        ]
        if sys.stdin.isatty():
            threading.Thread(target=self._prefill, daemon=True).start()

    def _prefill(self) -> None:
        """While the user types. Whatever is wrong, the next question says it."""
        asked = {k: v for k, v in self._given.items() if k not in ("stop", "seed")}
        with contextlib.suppress(Exception):
            self._llm.prefill_chat(messages_of(self._system, self._turns), **asked)

    def _help(self, _: str) -> None:
        rows = [(f"/{name}", text) for name, (text, _) in COMMANDS.items()]
        for name, text in [*rows, ("/exit", "end; Ctrl-D does too, and Ctrl-C stops an answer")]:
            _note(f"{name:<8} {text}")

    def _statistics(self, _: str) -> None:
        if self._last is None:
            _note("[no answer yet]")
            return
        used = self._last.stats.prompt_tokens + self._last.stats.generated_tokens
        _note(describe(self._last.stats, self._last.finish))
        turns = len(self._turns) // 2
        _note(f"[{turns} turn(s), {used} of {self._llm.program.context_length} tokens of context]")

    def _reset(self, _: str) -> None:
        self._turns, self._last = [], None
        self._llm.reset()
        _note(f"[a new conversation{', with the system message' if self._system else ''}]")

    def _set_system(self, text: str) -> None:
        self._system = text or None
        self._reset(text)


COMMANDS: dict[str, tuple[str, Callable[[Conversation, str], None]]] = {
    "help": ("this list", Conversation._help),
    "stats": ("tokens and speed of the last answer", Conversation._statistics),
    "reset": ("start a new conversation", Conversation._reset),
    "system": (
        "TEXT: start a new conversation with this system message, or without one",
        Conversation._set_system,
    ),
}
"""Name -> (help, method). /exit ends the loop."""


def _read_line() -> str | None:
    """None at the end of the input. A prompt is shown only to a person."""
    person = sys.stdin.isatty()
    if person:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (line editing and history for input())
    try:
        if person and sys.stdout.isatty():
            return input("> ")
        if person:  # standard output goes to a file
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None
    except UnicodeDecodeError as error:
        raise BundleError(f"the input is not valid text: {error}", where="stdin") from None
    return line.rstrip("\n") if line else None


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
