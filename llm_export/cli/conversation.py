"""A conversation in the terminal, or with lines that are piped in."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.answering import Answering, Message
from llm_export.cli.layout import fold
from llm_export.cli.runtime_args import printable
from llm_export.cli.tools import Toolbox
from llm_export.errors import BundleError, did_you_mean
from runtime_py.cli.printing import describe
from runtime_py.message_parts import user_message

if TYPE_CHECKING:
    from llm_export.cli.kept_session import KeptSession
    from runtime_py import LLM


def messages_of(system: str | None, turns: list[Message]) -> list[Message]:
    """With the system message before the turns, if there is one; it replaces that of the turns."""
    if system and turns and turns[0]["role"] == "system":
        turns = turns[1:]
    return [{"role": "system", "content": system}, *turns] if system else turns


class Conversation:
    """Reads lines, answers them, and obeys those that begin with a slash.

    Args:
        given: arguments of ``LLM.stream``.
        toolbox: tools that the model may call.
        stats: print statistics after each answer.
        session: keeps the conversation, and has what it was before.
        images: files that are attached to the next message.
    """

    def __init__(
        self,
        llm: LLM,
        given: Mapping[str, Any],
        *,
        toolbox: Toolbox | None = None,
        system: str | None = None,
        stats: bool = False,
        session: KeptSession | None = None,
        images: Sequence[str] = (),
    ) -> None:
        self._llm, self._system = llm, system
        self._images = list(images)
        self._answering = Answering(llm, given, toolbox=toolbox, ask=_read_line, stats=stats)
        self._session = session
        self._turns: list[Message] = [] if session is None else list(session.messages)

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
        size = self._llm.engine.path.stat().st_size / 1e6
        begin = (
            f"{self._llm.bundle.manifest['name']}: {size:.1f} MB, "
            f"{self._llm.engine.context_length} tokens of context; /help lists the commands"
        )
        _note(fold(begin, stream=sys.stderr))
        if self._session is not None:
            _note(printable(self._session.told()))
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
        try:
            with api.runtime_errors():
                asked = user_message(text, self._images)
            said = self._answering.answer(messages_of(self._system, [*self._turns, asked]))
        except BundleError as error:
            _note(f"error: {error}\n/reset starts over")
            return
        except KeyboardInterrupt:
            print(" [stopped]", flush=True)
            return
        if said:
            self._images = []
            self._turns = [*self._turns, asked, *said]
            self._keep()
            if sys.stdin.isatty():
                messages = messages_of(self._system, self._turns)
                work = threading.Thread(
                    target=self._answering.prefill, args=[messages], daemon=True
                )
                work.start()

    def _keep(self) -> None:
        if self._session is None:
            return
        try:
            self._session.save(messages_of(self._system, self._turns), self._answering.last)
        except BundleError as error:
            _note(f"not kept: {error}")

    def _help(self, _: str) -> None:
        rows = [(f"/{name}", text) for name, (text, _) in COMMANDS.items()]
        for name, text in [*rows, ("/exit", "end; Ctrl-D does too, and Ctrl-C stops an answer")]:
            _note(f"{name:<8} {text}")

    def _statistics(self, _: str) -> None:
        last = self._answering.last
        if last is None:
            _note("[no answer yet]")
            return
        used = last.stats.prompt_tokens + last.stats.generated_tokens
        _note(describe(last.stats, last.finish))
        turns = sum(turn["role"] == "user" for turn in self._turns)
        _note(f"[{turns} turn(s), {used} of {self._llm.engine.context_length} tokens of context]")

    def _reset(self, _: str) -> None:
        self._turns, self._answering.last, self._images = [], None, []
        self._llm.reset()
        if self._session is not None:
            self._session.begin_another()
        _note(f"[a new conversation{', with the system message' if self._system else ''}]")

    def _attach(self, name: str) -> None:
        if not name:
            self._images = []
            _note("[no image is attached]")
            return
        try:
            with api.runtime_errors():
                if not self._llm.sees:
                    raise BundleError(
                        "the model reads text alone", fix="a bundle that was exported with "
                        "model.task=see",
                    )  # fmt: skip
                user_message("", [name])
        except BundleError as error:
            _note(f"error: {error}")
            return
        self._images.append(name)
        _note(f"[attached to the next message: {printable(', '.join(self._images))}]")

    def _set_system(self, text: str) -> None:
        self._system = text or None
        self._reset(text)


COMMANDS: dict[str, tuple[str, Callable[[Conversation, str], None]]] = {
    "help": ("this list", Conversation._help),
    "image": (
        "FILE: attach an image to the next message; without FILE, none",
        Conversation._attach,
    ),
    "stats": ("tokens and speed of the last answer", Conversation._statistics),
    "reset": ("start a new conversation", Conversation._reset),
    "system": (
        "TEXT: start a new conversation with this system message, or without one",
        Conversation._set_system,
    ),
}
"""Name -> (help, method). /exit ends the loop."""


def _read_line(prompt: str = "> ") -> str | None:
    """None at the end of the input. The prompt is shown only to a person."""
    person = sys.stdin.isatty()
    if person:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (line editing and history for input())
    try:
        if person and sys.stdout.isatty():
            return input(prompt)
        if person:  # standard output goes to a file
            print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return None
    except UnicodeDecodeError as error:
        raise BundleError(f"the input is not valid text: {error}", where="stdin") from None
    return line.rstrip("\n") if line else None


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
