"""Show an answer while it is generated, and call the tools that it asks for."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.tools import Ask, Toolbox
from runtime_py.cli.printing import ended, printable, stoppable, write

if TYPE_CHECKING:
    from runtime_py import LLM, Generation, Stream, ToolCall

Message = dict[str, Any]
_MOST = 10
"""Answers with calls in a row."""
_NOT_RENDERED = ("stop", "seed")


class Answering:
    """Asks a model until it calls no more tools. The text of answers goes to standard output, and
    reasoning and calls to standard error.

    Args:
        given: arguments of ``LLM.stream``.
        ask: for results of tools that are no functions; None: calls are printed as JSON, a line for
            each, and end the conversation.
    """

    def __init__(
        self,
        llm: LLM,
        given: Mapping[str, Any],
        *,
        toolbox: Toolbox | None = None,
        ask: Ask | None = None,
        stats: bool = False,
    ) -> None:
        self._llm, self._given, self._toolbox = llm, given, toolbox
        self._ask, self._stats = ask, stats
        self.last: Generation | None = None

    def answer(self, messages: list[Message]) -> list[Message]:
        """Further messages of the conversation; none if it was stopped before it said anything.

        Raises:
            BundleError: the conversation cannot be answered.
        """
        added: list[Message] = []
        for _ in range(_MOST):
            result = self._shown([*messages, *added])
            if result.finish == "cancelled" and not result.text:
                return added
            added.append(result.message)
            results = self._results(result.tool_calls) if result.finish != "cancelled" else []
            if not results:
                return added
            added += results
        return added

    def prefill(self, messages: list[Message]) -> None:
        """While the user types. Whatever is wrong, the next question says it."""
        given = {name: value for name, value in self._given.items() if name not in _NOT_RENDERED}
        tools = self._toolbox.tools if self._toolbox else None
        with contextlib.suppress(Exception):
            self._llm.prefill_chat(messages, tools=tools, **given)

    def _shown(self, messages: list[Message]) -> Generation:
        tools = self._toolbox.tools if self._toolbox else None
        with api.runtime_errors():
            with self._llm.stream(messages, tools=tools, **self._given) as stream:
                self.last = stream.result
                with stoppable(stream):
                    _print(stream)
            calls, only = self.last.tool_calls, not self.last.text
            if not (calls and only):
                print(flush=True)
        ended(self.last, stats=self._stats)
        for why in self.last.tool_errors:
            print(f"[not a call: {printable(why)}]", file=sys.stderr)
        return self.last

    def _results(self, calls: list[ToolCall]) -> list[Message]:
        """Messages with the results of calls; none if nobody gives them."""
        made: list[Message] = []
        for call in calls:
            if self._toolbox is None or (self._ask is None and self._toolbox.asks):
                said = {"name": call.name, "arguments": call.arguments}
                print(json.dumps(said, ensure_ascii=False), flush=True)
                continue
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            print(f"[calls {printable(call.name)} {printable(arguments)}]", file=sys.stderr)
            result = self._toolbox.result(call, self._ask or (lambda what: None))
            if result is None:
                return []
            made.append({"role": "tool", "tool_call_id": call.id, "name": call.name,
                         "content": result})  # fmt: skip
        return made


def _print(stream: Stream) -> None:
    thinks = False
    for delta in stream.deltas():
        if delta.kind == "reasoning":
            _aside(delta.text)
            thinks = True
            continue
        if thinks:
            print(file=sys.stderr, flush=True)
        thinks = False
        if delta.kind == "text":
            write(delta.text)
    if thinks:
        print(file=sys.stderr, flush=True)


def _aside(text: str) -> None:
    """Print reasoning, dim on a terminal."""
    dim, plain = ("\x1b[2m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    print(f"{dim}{printable(text)}{plain}", end="", file=sys.stderr, flush=True)
