"""Several texts over one program: one of them is in its memory, the others are copied out."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Protocol

from runtime_py.engines.engine import Engine
from runtime_py.errors import BundleRuntimeError
from runtime_py.rows import SavedRows

if TYPE_CHECKING:
    from runtime_py.text_cache import TextCache

_LOG = logging.getLogger("runtime_py")


class StoredPrefixes(Protocol):
    """Beginnings of texts that were fed before, such as in another process."""

    def longer(self, cache: TextCache, ids: list[int], known: int) -> int:
        """Put the longest stored beginning of ``ids`` into the text that is in memory, if it is
        worth it; returns how many tokens are known then."""

    def keep(self, cache: TextCache, known: int) -> None:
        """Store the text that is in memory, of which ``known`` tokens were not fed."""


class Tenancy:
    """Which text is in a program's memory. A text is copied out only when another one needs the
    program: what was copied before, or is shared with the other text, is not copied again.
    """

    def __init__(self, program: Engine) -> None:
        self.program = program
        self._tenant: weakref.ref[TextCache] | None = None
        self._rows = SavedRows()
        """Of what is in memory, the rows that are certainly equal to their copies."""
        self._said = False
        self.prefixes: StoredPrefixes | None = None

    def holds(self, cache: TextCache) -> bool:
        """Whether this text is in memory."""
        return self._tenant is not None and self._tenant() is cache

    def enter(self, cache: TextCache) -> None:
        """Bring a text into memory.

        Raises:
            BundleRuntimeError: the program or the session is closed.
        """
        if cache.closed:
            raise BundleRuntimeError("the session is closed", fix="a new one by llm.session()")
        if self.program.closed or self.holds(cache):
            return
        former = self._tenant() if self._tenant is not None else None
        if former is not None and not former.closed:
            former.leave()
        self._tenant = None  # until it is whole
        rows, self._rows = self._rows, SavedRows()
        if self.program.gives_state:
            cache.resume(rows)
        else:
            self._say(cache)
            cache.begin_again([] if former is None else former.ids)
        self._tenant, self._rows = weakref.ref(cache), cache.rows

    def _say(self, cache: TextCache) -> None:
        if cache.tokens and not self._said:
            self._said = True
            _LOG.warning(
                "%s does not give out its state: each switch between sessions feeds the text again"
                " (export with runtime.snapshots=require to copy it instead)", self.program.path,
            )  # fmt: skip
