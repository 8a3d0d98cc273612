"""A text of its own over a loaded program."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from runtime_py.chat_template import Message
from runtime_py.errors import ArgumentError, shown
from runtime_py.prompts import Messages, Prompt
from runtime_py.sampling import Sampling
from runtime_py.sessions.conversation import Asked, Conversation, checked_messages
from runtime_py.sessions.overflow import Overflow, policy
from runtime_py.snapshots import Snapshot
from runtime_py.stats import Generation, Stats
from runtime_py.stream import Stream
from runtime_py.text_cache import TextCache

if TYPE_CHECKING:
    from runtime_py.llm import LLM


class Session(Conversation):
    """One of several texts over a program. All that ``LLM`` can be asked, and more: to append to
    the text, to go back in it, to copy it, and to hold a conversation.

    One text at a time is in the program's memory. When another session is used, the former one is
    copied out; what both have in common since a ``fork`` stays. As with ``LLM``, threads may share
    sessions, and one answer is generated at a time.

    Attributes:
        messages: the conversation, as dicts; ``send`` adds to it, and an overflow policy may drop
            from it. It may be changed; the next turn is rendered from it.
        overflow: what happens when a turn would not fit.
    """

    def __init__(self, llm: LLM, messages: Messages, overflow: Overflow | str | None) -> None:
        self.overflow = policy(overflow, llm.engine)
        self.messages = checked_messages(messages)
        self._llm = llm
        self.defaults, self._digests = llm.defaults, llm._digests
        self._prompts, self._decoder, self._lock = llm._prompts, llm._decoder, llm._lock
        self._own(llm._cache.another())

    def _own(self, cache: TextCache) -> None:
        self._cache = cache
        cache.shorten = self._shorter if self.overflow.endless else None

    @property
    def position(self) -> int:
        """Number of tokens of the text."""
        return self._cache.position

    @property
    def capacity(self) -> int:
        """Number of tokens that fit the context."""
        return self._cache.program.context_length

    @property
    def tokens(self) -> list[int]:
        """Ids of the text. The last token of an answer is part of it once the next one is fed."""
        return self._cache.tokens

    @property
    def logits(self) -> Tensor | None:
        """float32 [V] after the last token; None if the text is empty. After ``truncate`` and
        ``restore`` the last token is fed again to know them."""
        with self._lock:
            return self._cache.known_logits()

    @property
    def bytes(self) -> int:
        """Memory of what was copied out of the program for this session; forks share part of it."""
        return self._cache.bytes

    def append(self, tokens: Prompt) -> int:
        """Feed more of the text; returns how many tokens that is.

        Args:
            tokens: token ids, or a text, which is tokenized by itself. BOS is put before a text at
                the beginning only, if the model expects one.

        Raises:
            BundleRuntimeError: it does not fit, and the overflow policy does not make room.
        """
        ids = self._prompts.encoded(tokens, raw=self.position == 0)
        with self._lock:
            if ids:
                self._cache.feed(self._within([*self._cache.tokens, *ids]), Stats())
        return len(ids)

    def generate(self, prompt: Prompt | None = None, **settings: Any) -> Generation:
        """Continue a raw prompt, which replaces the text; without one, continue the text. Arguments
        are those of ``LLM.generate``."""
        return super().generate(self._cache.tokens if prompt is None else prompt, **settings)

    def stream(self, prompt: Prompt | Sequence[Message] | None = None, **settings: Any) -> Stream:
        """As ``LLM.stream``; without a prompt, continue the text."""
        return super().stream(self._cache.tokens if prompt is None else prompt, **settings)

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` tokens, exactly: recurrent and windowed layers that cannot go
        back there are fed again from the nearest mark, or from the beginning. ``messages`` stay.

        Raises:
            ArgumentError: ``count`` is not from 0 to ``position``.
        """
        self._check_count(count)
        with self._lock:
            self._cache.truncate(count)

    def fork(self) -> Session:
        """A session that begins with the same text and messages; from then on each is its own."""
        with self._lock:
            cache = self._cache.fork()
        made = Session(self._llm, self.messages, self.overflow)
        made._begin_with(cache, self.defaults, self._asked)
        return made

    def _begin_with(self, cache: TextCache, defaults: Sampling, asked: Asked | None) -> None:
        self._own(cache)
        self.defaults, self._asked = defaults, asked

    def snapshot(self) -> Snapshot:
        """A copy of text, state and messages.

        Raises:
            BundleRuntimeError: the program does not give out its state (runtime.snapshots).
        """
        return replace(super().snapshot(), messages=tuple(copy.deepcopy(self.messages)))

    def restore(self, snapshot: Snapshot | str | os.PathLike[str]) -> None:
        """Go on from a snapshot or the file of one, of this process or of another one, with its
        messages.

        Raises:
            BundleRuntimeError: it is of another program or adapter, damaged, or does not fit.
        """
        if isinstance(snapshot, str | os.PathLike):
            snapshot = Snapshot.load(snapshot)
        super().restore(snapshot)
        self.messages = copy.deepcopy(list(snapshot.messages))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write text, state and messages to a file; see ``Snapshot.save``.

        Raises:
            BundleRuntimeError: as ``snapshot``, or the file cannot be written.
        """
        self.snapshot().save(path)

    def export_prefix(self, count: int | None = None) -> Snapshot:
        """A snapshot of the first ``count`` tokens, without messages: for other sessions whose text
        begins with them. None: all of them.

        Raises:
            BundleRuntimeError: as ``snapshot``, or there are not as many tokens.
        """
        if count is None:
            return replace(self.snapshot(), messages=())
        self._check_count(count)
        with self.fork() as prefix:
            prefix.truncate(count)
            return replace(prefix.snapshot(), messages=())

    def reset(self) -> None:
        """Forget text and messages."""
        super().reset()
        self.messages = []

    def _check_count(self, count: int) -> None:
        if type(count) is not int or not 0 <= count <= self.position:
            raise ArgumentError(
                f"count must be a whole number from 0 to {self.position}, not {shown(count)}"
            )

    def close(self) -> None:
        """Release what is kept for this session. The program stays loaded."""
        with self._lock:
            self._cache.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._cache.closed else f"{self.position} of {self.capacity} tokens"
        name = self._prompts.bundle.manifest["name"]
        return f"<Session of {name}: {state}, overflow {self.overflow.name}>"
