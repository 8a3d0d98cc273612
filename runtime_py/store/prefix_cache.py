"""Let an LLM go on from stored beginnings of prompts, and store those of its own."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.snapshots import Snapshot
from runtime_py.store.attach import stateless
from runtime_py.store.blocks import BLOCK, slots_of
from runtime_py.store.prefixes import Prefixes

if TYPE_CHECKING:
    from runtime_py.llm import LLM
    from runtime_py.text_cache import TextCache

_LOG = logging.getLogger("runtime_py")


class PrefixCache:
    """For all texts of a loaded program: a prompt goes on from the longest stored beginning of it,
    and is stored itself, by a thread of its own while the answer is generated. A store that cannot
    be used, now or at all, slows answers down and fails none.

    Args:
        min_tokens: shorter prefixes are neither read nor written, but fed again.
        save: whether prompts are stored, too.

    Attributes:
        hits: prompts that went on from what was stored.
        reused_tokens: tokens that were read and not fed.
        stored_tokens: tokens of prompts that were written or found to be there.

    Raises:
        ArgumentError: ``min_tokens`` is no number of tokens.
        BundleRuntimeError: the program does not give out its state.
    """

    def __init__(
        self, prefixes: Prefixes, llm: LLM, *, min_tokens: int = BLOCK, save: bool = True
    ) -> None:
        if type(min_tokens) is not int or min_tokens < 1:
            raise ArgumentError(
                f"min_tokens must be a whole number from 1, not {shown(min_tokens)}"
            )
        if not llm.gives_state:
            raise stateless(llm)
        self._saves = save
        self.hits = self.reused_tokens = self.stored_tokens = 0
        self._prefixes, self._tenancy, self._min_tokens = prefixes, llm._tenancy, min_tokens
        self._digests, self._model = llm.digests, llm.manifest["name"]
        self._slots = slots_of(llm.manifest["program"])
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="prefixes")
        self._writing: Future[None] | None = None
        self._tenancy.prefixes = self

    def longer(self, cache: TextCache, ids: list[int], known: int) -> int:
        """See ``tenancy.StoredPrefixes``. The last token is always fed, for its logits."""
        least = known + self._min_tokens
        if len(ids) <= least:
            return known
        try:
            if self._prefixes.length(*self._digests, ids[:-1]) < least:
                return known
            found = self._prefixes.load(*self._digests, ids[:-1])
            if found is None or found.position < least:
                return known
            cache.put(found.tokens, found.furthest, found.tensors)
        except BundleRuntimeError as error:
            _LOG.warning("a prompt is fed that may be stored: %s", error)
            return known
        self.hits += 1
        self.reused_tokens += found.position - known
        return found.position

    def keep(self, cache: TextCache, known: int) -> None:
        """See ``tenancy.StoredPrefixes``. While another prompt is being written, none is."""
        if not self._saves or len(cache.ids) - known < self._min_tokens:
            return
        if self._writing is not None and not self._writing.done():
            return
        ids, furthest, copied = cache.taken()
        snapshot = Snapshot(tuple(ids), furthest, *self._digests, copied)
        self._writing = self._writer.submit(self._save, snapshot)

    def _save(self, snapshot: Snapshot) -> None:
        try:
            count = self._prefixes.save(snapshot, self._slots, model=self._model)
        except BundleRuntimeError as error:
            _LOG.warning("a prompt is not stored: %s", error)
        else:
            self.stored_tokens += count

    def flush(self) -> None:
        """Wait until what is being written is written."""
        if self._writing is not None:
            self._writing.result()

    def close(self) -> None:
        """Detach it from the LLM, which then feeds all prompts again."""
        if self._tenancy.prefixes is self:
            self._tenancy.prefixes = None
        self._writer.shutdown()

    def __enter__(self) -> PrefixCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<PrefixCache: {self.hits} hits, {self.reused_tokens} tokens reused, "
            f"{self.stored_tokens} stored>"
        )
