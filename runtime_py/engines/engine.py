"""What computes the logits of a text: all that sessions, prompts and the decode loop need of it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from torch import Tensor

from runtime_py.errors import BundleRuntimeError
from runtime_py.token_ids import checked_ids
from runtime_py.turns import next_step

if TYPE_CHECKING:
    from runtime_py.bundle import Bundle
    from runtime_py.parked import Parked
    from runtime_py.program_state import Copied
    from runtime_py.request import Request
    from runtime_py.rows import Rows, SavedRows
    from runtime_py.stats import Generation
    from runtime_py.tokenizer import TextTokenizer


class Engine(Protocol):
    """A loaded model with the KV cache of one text.

    Attributes:
        path: of what is run, for errors.
        position: number of tokens of the text that the cache holds.
        context_length: most tokens that it can hold.
        prefill_length: most tokens of a ``step``.
        vocab_size: number of token ids; None: unknown.
        attention_sink: whether positions may exceed the context.
        dynamic: whether a ``step`` of fewer tokens costs less.
        recurrent: whether it keeps a state that every token changes.
        rows_length: most tokens after each of which one ``step`` can give the logits.
        stopped: set by another thread to end ``prefill`` by ``Cancelled``.
    """

    path: Path
    position: int
    context_length: int
    prefill_length: int
    vocab_size: int | None
    attention_sink: bool
    dynamic: bool
    recurrent: bool
    stopped: threading.Event | None

    @property
    def rows_length(self) -> int: ...

    @property
    def full(self) -> bool:
        """Whether no further token fits."""
        ...

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        ...

    @property
    def gives_state(self) -> bool:
        """Whether the following methods may be called: copied, put, rows, lasting, parked and
        resume. Without it texts are fed again where others copy the cache."""
        ...

    def check_ids(self, tokens: Sequence[int]) -> None:
        """Raises BundleRuntimeError if an id is not in the vocabulary."""

    def reset(self, position: int = 0) -> int:
        """Discard what is remembered from ``position`` on; returns the position from which to go
        on: this one, or an earlier one."""
        ...

    def mark(self) -> None:
        """Make it possible to come back to this position."""

    def can_undo(self, count: int) -> bool:
        """Whether after ``count`` further tokens it can come back here."""
        ...

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        """Feed up to ``prefill_length`` tokens, or with ``every`` up to ``rows_length``; returns
        logits [1, S or 1, V] float32, with ``every`` [1, S, V]."""
        ...

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        """Feed any number of tokens; returns the logits [V] of the last one."""
        ...

    def copied(self) -> tuple[int, Copied]: ...

    def put(self, copied: Copied, position: int, furthest: int) -> None: ...

    def rows(self, start: int) -> Rows: ...

    def lasting(self, copied: Copied) -> Rows: ...

    def parked(self) -> Parked: ...

    def resume(self, parked: Parked, rows: SavedRows, start: int) -> None: ...

    def close(self) -> None:
        """Release memory and processes."""


@runtime_checkable
class SelfSampling(Protocol):
    """An engine that chooses the tokens of an answer itself, and gives no logits."""

    def answer(
        self, tokenizer: TextTokenizer, ids: list[int], result: Generation, request: Request
    ) -> Generator[str, None, None]:
        """Yield pieces of the answer to a prompt, which may be empty, and fill ``result`` except
        for its text.

        Raises:
            BundleRuntimeError: the request has a setting that the engine lacks.
        """
        ...


@runtime_checkable
class Follows(Protocol):
    """An engine whose positions depend on which tokens came before."""

    def follow(self, ids: Sequence[int]) -> None:
        """``ids`` are the text of the state that was put into memory last."""
        ...


class Opener(Protocol):
    """An entry of the registry."""

    def __call__(self, bundle: Bundle, data_path: Path | None, threads: int | None) -> Engine:
        """Load a bundle.

        Args:
            bundle: an open bundle, whose files have been compared with their digests.
            data_path: weights of an adapter, or None.
            threads: None is the engine's own choice.

        Raises:
            BundleRuntimeError: the engine cannot run it, or is not installed.
        """
        ...


class PlainEngine(ABC):
    """The parts that engines without access to their cache have in common.

    Attributes:
        name: of the engine, for errors.
    """

    name: str
    path: Path
    position: int = 0
    context_length: int
    prefill_length: int
    vocab_size: int | None
    attention_sink: bool = False
    dynamic: bool = True
    recurrent: bool = False
    rows_length: int = 1
    stopped: threading.Event | None = None
    gives_state: bool = False

    @property
    @abstractmethod
    def closed(self) -> bool:
        """See ``Engine``."""

    @abstractmethod
    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        """See ``Engine``."""

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        """See ``Engine``."""
        ids = self.checked(tokens)
        for start in range(0, len(ids), self.prefill_length):
            next_step(self.stopped, first=start == 0)
            logits = self.step(ids[start : start + self.prefill_length])
        return logits[0, -1]

    @property
    def full(self) -> bool:
        return not self.attention_sink and self.position >= self.context_length

    def check_ids(self, tokens: Sequence[int]) -> None:
        checked_ids(tokens, self.vocab_size)

    def mark(self) -> None:  # noqa: B027
        pass

    def can_undo(self, count: int) -> bool:
        return True

    def checked(self, tokens: Sequence[int]) -> list[int]:
        """Tokens of a step.

        Raises:
            BundleRuntimeError: they are no ids, do not fit, or the engine is closed.
        """
        ids = checked_ids(tokens, self.vocab_size)
        if self.closed:
            raise BundleRuntimeError(
                "the program is closed", where=str(self.path), fix="load the bundle again"
            )
        if not ids:
            raise BundleRuntimeError("the prompt is empty", fix="give at least one token")
        if self.position + len(ids) > self.context_length and not self.attention_sink:
            raise BundleRuntimeError(
                f"{self.position + len(ids)} tokens do not fit the context of "
                f"{self.context_length}",
                fix="a shorter prompt, or a program with a longer context",
            )  # fmt: skip
        return ids

    def _stateless(self) -> NoReturn:
        raise BundleRuntimeError(
            f"the engine '{self.name}' does not give out its state", where=str(self.path),
            fix="engine='executorch'",
        )  # fmt: skip

    def copied(self) -> Any:
        self._stateless()

    def put(self, copied: Copied, position: int, furthest: int) -> None:
        self._stateless()

    def rows(self, start: int) -> Any:
        self._stateless()

    def lasting(self, copied: Copied) -> Any:
        self._stateless()

    def parked(self) -> Any:
        self._stateless()

    def resume(self, parked: Parked, rows: SavedRows, start: int) -> None:
        self._stateless()
