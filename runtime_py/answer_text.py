"""The text of an answer, token by token, up to its end."""

from __future__ import annotations

import time

from runtime_py.request import Request
from runtime_py.stats import Generation
from runtime_py.stop_strings import StopStrings
from runtime_py.tokenizer import TextStream, TextTokenizer


class AnswerText:
    """Adds tokens to ``result``, with the times since this object was made, and decodes them.

    Args:
        result: gets its ``finish`` at the end of the answer.
    """

    def __init__(self, tokenizer: TextTokenizer, request: Request, result: Generation) -> None:
        controls = request.controls
        shown = tokenizer.special_in(controls.answer_format.markers)
        self._text, self._hold = TextStream(tokenizer, shown), StopStrings(request.stop)
        self._eos = frozenset() if controls.ignore_eos else tokenizer.eos_ids
        self._stop_ids, self._result = controls.stop_ids, result
        self._begin = self._first = time.perf_counter()

    def push(self, token: int) -> str:
        """Add a token; returns the text that it completes, and all of the rest if it, or a stop
        string, ends the answer."""
        now, stats = time.perf_counter(), self._result.stats
        if not self._result.tokens:
            self._first, stats.time_to_first_token = now, now - self._begin
        self._result.tokens.append(token)
        stats.generated_tokens = len(self._result.tokens)
        stats.decode_seconds = now - self._first
        if token in self._eos or token in self._stop_ids:
            return self.end("eos" if token in self._eos else "stop")
        piece, stopped = self._hold.push(self._text.push(token))
        if stopped:
            self._result.finish = "stop"
        return piece

    def end(self, finish: str) -> str:
        """End the answer, unless a stop string does; returns the text that was held back."""
        piece, stopped = self._hold.push(self._text.flush())
        self._result.finish = "stop" if stopped else finish
        return piece if stopped else piece + self._hold.flush()
