"""How much text, data and time one rendering of a chat template may use.

A template comes from an untrusted model. Jinja's sandbox keeps it from Python's internals, but lets
it loop for hours and double a text until memory ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from runtime_py.errors import BundleRuntimeError

MAX_SOURCE = 256_000
MAX_NODES = 20_000
"""Characters of a template, and nodes of its syntax tree."""
SECONDS = 3.0
"""CPU time of the thread; templates of published models take milliseconds."""
_TEXT, _PER_INPUT, _ALL = 1_000_000, 8, 64
"""A value may weigh _TEXT + _PER_INPUT times the conversation; all values together _ALL times that.
"""
_DEPTH = 100


class TemplateLimit(BundleRuntimeError):
    """A template uses more than any honest template needs."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the chat template is at fault: it {what}")


class Weight(NamedTuple):
    """Of a value written out: ``size`` in characters, ``entries`` of lists and dicts, ``depth``."""

    size: int
    entries: int = 0
    depth: int = 0


class Budget:
    """What is left for one rendering.

    Args:
        given: what the caller passes to the template.
    """

    def __init__(self, given: Any) -> None:
        self._weights: dict[int, tuple[Any, Weight]] = {}
        self.most = _TEXT
        self._made, self._entries = 0, 0
        self._end = time.thread_time() + SECONDS
        self.most += _PER_INPUT * self.weigh(given, bounded=False).size
        self._made, self._entries = 0, 0

    def tick(self) -> None:
        """Once for each pass of a loop, call, filter and operator.

        Raises:
            TemplateLimit: there is no time left.
        """
        if time.thread_time() > self._end:
            raise TemplateLimit(f"takes more than {SECONDS:g} s")

    def expect(self, size: float) -> None:
        """Before a value of ``size`` characters is made.

        Raises:
            TemplateLimit: it would be too large, or all values together are.
        """
        if size > self.most:
            raise TemplateLimit(f"makes a value of more than {self.most:,} characters")
        self._made += int(size)
        if self._made > _ALL * self.most:
            raise TemplateLimit(f"makes more than {_ALL * self.most:,} characters")

    def kept(self, value: Any) -> Any:
        """``value``, a new one, if there is room for it."""
        self.tick()
        self.expect(len(value) if isinstance(value, str | bytes) else self.weigh(value).size)
        return value

    def weigh(self, value: Any, *, bounded: bool = True) -> Weight:
        """The weight of a value. A list that is in another one twice counts twice.

        Templates cannot change a list or dict, so each is weighed once, and kept alive for its id.

        Raises:
            TemplateLimit: it is nested too deeply, or there is no room for it.
        """
        return self._weighed(value, bounded, 0)

    def _weighed(self, value: Any, bounded: bool, depth: int) -> Weight:
        if isinstance(value, str | bytes):
            return Weight(len(value))
        if isinstance(value, int):
            return Weight(1 + value.bit_length() // 3)
        if not isinstance(value, list | tuple | set | frozenset | Mapping):
            return Weight(16)
        if known := self._weights.get(id(value)):
            return known[1]
        if depth > _DEPTH:
            raise TemplateLimit(f"nests values more than {_DEPTH} deep")
        self._entries += len(value)
        items = [*value, *value.values()] if isinstance(value, Mapping) else list(value)
        if bounded and self._entries > 2 * self.most:
            raise TemplateLimit("makes too many lists")
        parts = [self._weighed(item, bounded, depth + 1) for item in items]
        weight = Weight(
            2 + sum(p.size + 2 for p in parts),
            len(items) + sum(p.entries for p in parts),
            1 + max((p.depth for p in parts), default=0),
        )
        if weight.depth > _DEPTH:
            raise TemplateLimit(f"nests values more than {_DEPTH} deep")
        if bounded and weight.size > self.most:
            raise TemplateLimit(f"makes a value of more than {self.most:,} characters")
        self._weights[id(value)] = (value, weight)
        return weight


_CURRENT: ContextVar[Budget | None] = ContextVar("budget", default=None)


def budget() -> Budget:
    """The budget of the rendering that is going on in this thread.

    Raises:
        TemplateLimit: none is: Jinja tries to compute a constant when it compiles a template.
    """
    current = _CURRENT.get()
    if current is None:
        raise TemplateLimit("computes while it is compiled")
    return current


@contextlib.contextmanager
def budgeted(given: Any) -> Iterator[Budget]:
    """A new budget while the context is open."""
    token = _CURRENT.set(Budget(given))
    try:
        yield budget()
    finally:
        _CURRENT.reset(token)
