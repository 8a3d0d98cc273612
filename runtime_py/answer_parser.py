"""Tell reasoning, text and calls of tools apart in an answer while it is decoded."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from typing import Protocol

from runtime_py.delta import Delta, Kind
from runtime_py.errors import Cancelled
from runtime_py.reasoning import ReasoningFormat
from runtime_py.stats import Generation
from runtime_py.tool_calls import Schemas
from runtime_py.tool_formats.base import CutOff, ToolFormat


class AnswerParser(Protocol):
    """
    Attributes:
        kind: what the next text is part of.
        fresh: whether the answer has no text and no call yet; it may have reasoning.
        errors: why calls could not be parsed.
    """

    kind: Kind
    fresh: bool
    errors: list[str]

    def push(self, text: str) -> list[Delta]:
        """What ``text`` completes."""

    def finish(self) -> list[Delta]:
        """What is left at the end."""


class PlainParser:
    """All of the answer is text."""

    kind: Kind = "text"
    fresh = True

    def __init__(self) -> None:
        self.errors: list[str] = []

    def push(self, text: str) -> list[Delta]:
        return [Delta("text", text)] if text else []

    def finish(self) -> list[Delta]:
        return []


class TaggedParser:
    """Parts stand between markers. White space between parts belongs to none.

    Args:
        opened: the prompt ends within the reasoning.
    """

    def __init__(
        self,
        reasoning: ReasoningFormat | None,
        tools: ToolFormat | None,
        schemas: Schemas,
        opened: bool = False,
    ) -> None:
        self._reasoning, self._tools, self._schemas = reasoning, tools, schemas
        self.kind: Kind = "reasoning" if opened else "text"
        self.fresh = True
        self.errors: list[str] = []
        self._held, self._begin, self._from = "", "", 0
        self._trim = opened

    def push(self, text: str) -> list[Delta]:
        self._held += text
        out: list[Delta] = []
        while self._step(out):
            pass
        return out

    def finish(self) -> list[Delta]:
        out: list[Delta] = []
        while self.kind == "tool_call":
            if self._call(self._held, len(self._held), out, last=True):
                continue
            # An end marker within was that of a call that is not valid.
            end = self._tools.end if self._tools else ""
            cut = self._held.find(end) + len(end) if end in self._held and end else len(self._held)
            out.append(Delta("text", self._begin + self._held[:cut]))
            self.fresh = False
            self._held, self._begin, self.kind = self._held[cut:], "", "text"
            out += self.push("")
        left = self._held.lstrip() if self._trim else self._held
        self._held = ""
        return [*out, Delta(self.kind, left)] if left else out

    def _step(self, out: list[Delta]) -> bool:
        """Take one part, if its end is there."""
        if self.kind == "tool_call":
            return self._in_call(out)
        if self.kind == "reasoning":
            assert self._reasoning is not None
            return self._until((self._reasoning.end,), out)
        return self._lead() or self._until(self._markers(), out)

    def _markers(self) -> tuple[str, ...]:
        """Those that may stand where text is."""
        reasoning = self._reasoning
        own = (reasoning.begin,) if reasoning and (self.fresh or reasoning.anywhere) else ()
        dropped = reasoning.dropped if reasoning else ()
        return (*own, *dropped, *(self._tools.begins if self._tools else ()))

    def _lead(self) -> bool:
        """Whether a call begins here: without a marker, at the beginning of the answer."""
        start = self._held.lstrip()
        leads = self._tools.leads if self._tools and self.fresh else ()
        begin = next((lead for lead in leads if start.startswith(lead)), None)
        if begin is not None:
            self._enter("tool_call", begin, start[len(begin) :])
        return begin is not None

    def _until(self, markers: Sequence[str], out: list[Delta]) -> bool:
        """Emit what stands before the first marker, or as much as certainly is no part of one."""
        if self._trim:
            self._held = self._held.lstrip()
        places = [(at, -len(m), m) for m in markers if (at := self._held.find(m)) >= 0]
        if not places:
            cut = len(self._held) - _possible(self._held, markers)
            if markers:
                cut = len(self._held[:cut].rstrip())
            self._emit(self._held[:cut], out)
            self._held = self._held[cut:]
            return False
        at, _, marker = min(places)
        self._emit(self._held[:at].rstrip(), out)
        rest = self._held[at + len(marker) :]
        if self.kind == "text" and self._reasoning and marker == self._reasoning.begin:
            self._enter("reasoning", marker, rest)
        elif self.kind == "text" and self._tools and marker in self._tools.begins:
            self._enter("tool_call", marker, rest)
        else:
            self._enter("text", "", rest)
        return True

    def _enter(self, kind: Kind, begin: str, rest: str) -> None:
        self.kind, self._begin, self._held, self._from = kind, begin, rest, 0
        self._trim = kind != "tool_call"

    def _emit(self, text: str, out: list[Delta]) -> None:
        if not text:
            return
        self._trim = False
        if self.kind == "text":
            self.fresh = False
        out.append(Delta(self.kind, text))

    def _in_call(self, out: list[Delta]) -> bool:
        end = self._tools.end if self._tools else ""
        if not end:
            return False
        at = self._held.find(end, self._from)
        if at < 0:
            self._from = max(0, len(self._held) - len(end) + 1)
            return False
        if self._call(self._held[:at], at + len(end), out):
            return True
        if self.kind == "tool_call":
            self._from = at + 1
        return True

    def _call(self, body: str, after: int, out: list[Delta], *, last: bool = False) -> bool:
        """Whether ``body`` is a call. Unless it may be one with what follows it, the text of one
        that is not valid is emitted as text.
        """
        tools = self._tools
        assert tools is not None
        written = self._begin + self._held[:after]
        try:
            parsed = tools.parse(self._begin + body if tools.whole else body, self._schemas)
            calls = [call.checked() for call in parsed]
        except CutOff as error:
            if last:
                self.errors.append(f"the call is cut off: {error}")
            return False
        except (ValueError, RecursionError) as error:
            self.errors.append(str(error))
            if not last:
                out.append(Delta("text", written))
                self.fresh = False
                self._enter("text", "", self._held[after:])
                self._trim = False
            return False
        out.extend(Delta("tool_call", written, call) for call in calls)
        self.fresh = False
        self._enter("text", "", self._held[after:])
        return True


def _possible(text: str, markers: Sequence[str]) -> int:
    """Length of the longest end of ``text`` with which a marker begins."""
    return max(
        (n for m in markers for n in range(1, len(m)) if text.endswith(m[:n])),
        default=0,
    )


def parsed(
    pieces: Iterable[str], parser: AnswerParser, result: Generation
) -> Generator[Delta, None, None]:
    """Add the parts of an answer to ``result``, and yield them.

    Args:
        pieces: of the answer's text with its markers, as tokens are decoded.
    """
    stats, counted = result.stats, 0
    for piece in pieces:
        thinks = parser.kind == "reasoning"
        for delta in parser.push(piece):
            result.add(delta)
            yield delta
        if thinks or parser.kind == "reasoning":
            stats.reasoning_tokens += stats.generated_tokens - counted
        counted = stats.generated_tokens
    for delta in parser.finish():
        result.add(delta)
        yield delta
    result.tool_errors = list(parser.errors)
    if result.tool_calls and result.finish == "eos":
        result.finish = "tool_calls"


def until(
    stopped: threading.Event, pieces: Iterable[str], result: Generation
) -> Generator[str, None, None]:
    """The pieces of an answer until it is cancelled."""
    steps = iter(pieces)
    while not stopped.is_set():
        try:
            piece = next(steps)
        except StopIteration:
            return
        except Cancelled:
            break
        yield piece
    result.finish = result.finish or "cancelled"
