"""The calls of a program's methods that compute the logits of a text, as ``runtime_py`` makes
them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """
    Attributes:
        position: of the first token.
        row: number of the token whose logits are kept; -1: none are.
        tokens: with padding, if the method takes a fixed number.
    """

    method: str
    position: int
    row: int
    tokens: tuple[int, ...]

    def line(self) -> str:
        """For the runner."""
        return " ".join(map(str, (self.method, self.position, self.row, *self.tokens)))


@dataclass(frozen=True)
class Steps:
    """What the methods of a program take; see ``runtime_py.program.Program``."""

    lengths: Mapping[str, int]
    dynamic: bool
    recurrent: bool
    context_length: int

    def calls(self, window: Sequence[int], prefill: int) -> Iterator[Call]:
        """A prompt of ``prefill`` tokens from an empty cache, in chunks, then each further token;
        logits are kept of the prompt's last token and of the further ones."""
        longest = max(self.lengths.values())
        for start in range(0, prefill, longest):
            piece = window[start : min(start + longest, prefill)]
            yield from self._fed(piece, start, last=start + len(piece) == prefill)
        for position in range(prefill, len(window)):
            yield from self._fed(window[position : position + 1], position, last=True)

    def _fed(self, tokens: Sequence[int], position: int, *, last: bool) -> Iterator[Call]:
        count = len(tokens)
        able = {name: length for name, length in self.lengths.items() if length >= count}
        method = min(able, key=able.__getitem__)
        padding = 0 if self.dynamic else able[method] - count
        beyond = position + count + padding > self.context_length
        if padding and count > 1 and (self.recurrent or beyond):
            for index, token in enumerate(tokens):
                yield from self._fed([token], position + index, last=last and index == count - 1)
            return
        yield Call(method, position, count - 1 if last else -1, (*tokens, *[0] * padding))
