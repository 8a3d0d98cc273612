"""One ExecuTorch program and its KV cache, fed token ids."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.cache_io import OutsideCaches, cache_shapes
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.manifest import VERIFY, is_endless, rows_length
from runtime_py.marks import Mark, Marks
from runtime_py.native_log import captured_native_log
from runtime_py.parked import Parked
from runtime_py.program_check import check_program, state_memory
from runtime_py.program_error import program_problem
from runtime_py.program_file import loaded_methods, opened_program, warm_up_imports
from runtime_py.program_header import check_program_header
from runtime_py.program_state import Copied, ProgramState, StateTensor, state_tensors
from runtime_py.rows import Rows, SavedRows
from runtime_py.threads import set_threads, thread_count
from runtime_py.token_ids import checked_ids
from runtime_py.turns import next_step

__all__ = ["Program", "set_threads", "thread_count", "warm_up_imports"]


_CHUNK = 256
"""Tokens per step of a long prompt for programs with dynamic lengths. Shorter steps use the matrix
units less; in longer ones attention computes more products that are then masked, because it skips
keys only in blocks of at least a step's length.
"""


class Program:
    """A loaded program. ``position`` is the number of filled cache slots. A prompt is fed until
    ``stopped`` is set.

    Args:
        path: the .pte file.
        context_length: number of cache slots.
        steps: method -> tokens per step; the maximum if ``dynamic``.
        dynamic: whether a step may take fewer tokens. If not, a shorter step is padded.
        token_dtype: dtype of the program's token inputs.
        vocab_size: number of token ids; None: ids are not checked.
        attention_sink: whether positions may exceed the context.
        cache_io: the manifest's entry for a program that takes and returns its caches.
        rewind: the manifest's entry for caches that cannot go back to every position.
        recurrent: whether the program keeps a state that every token changes. Steps are then
            never padded.
        state: what it gives out by its method ``state``, or takes and returns; none if empty.
        rows_length: tokens of the longest step after each of which logits are returned.
        verify: whether a method ``verify`` of its own returns them.
        data_path: the .ptd file with the weights that are not in ``path``, if there are any.

    Raises:
        BundleRuntimeError: the file cannot be loaded here; includes ExecuTorch's message.
    """

    load_settings: Mapping[str, Any] = {}
    """Of ``Runtime.load_program``."""
    embedded: int | None = None
    """Tensors that a step takes behind embeddings and position, instead of token ids."""

    def __init__(
        self,
        path: Path,
        *,
        context_length: int,
        steps: Mapping[str, int],
        dynamic: bool,
        rewind: Mapping[str, int] | None = None,
        attention_sink: bool = False,
        recurrent: bool = False,
        cache_io: Mapping[str, Any] | None = None,
        state: Sequence[StateTensor] = (),
        rows_length: int = 1,
        verify: bool = False,
        data_path: Path | None = None,
        token_dtype: str = "int64",
        vocab_size: int | None = None,
    ) -> None:
        check_program_header(path)
        self.path = path
        self.context_length = context_length
        self.steps = dict(steps)
        self.prefill_length = max(steps.values())
        self.rows_length, self._verify = rows_length, verify
        self.dynamic = dynamic
        self.rewind = rewind
        self.attention_sink = attention_sink
        self.recurrent = recurrent
        self.vocab_size = vocab_size
        self._dtype = getattr(torch, token_dtype)
        self.position = 0
        self.stopped: threading.Event | None = None
        self._furthest = 0
        self._marks = Marks()
        self._methods: dict[str, Any] = {}
        memory: Sequence[Tensor] = ()
        failure: Exception | None = None
        thread_count()
        with captured_native_log() as log:
            try:
                methods = {**self.steps, **({VERIFY: rows_length} if verify else {})}
                self._program: Any = opened_program(path, data_path, **self.load_settings)
                check_program(
                    self._program, path, dynamic=dynamic,
                    steps=methods, token_dtype=self._dtype, context_length=context_length,
                    vocab_size=vocab_size, windows=len(cache_io["windows"]) if cache_io else 0,
                    embedded=self.embedded,
                    caches=cache_shapes(cache_io) if cache_io else (),
                )  # fmt: skip
                self._each_position = {
                    name: self._program.metadata(name).input_tensor_meta(1).sizes()[0] > 1
                    for name in methods
                }
                if state and cache_io is None:
                    memory = state_memory(self._program, path, state)
                self._methods = loaded_methods(self._program, steps, memory)
            except BundleRuntimeError:
                raise
            except Exception as error:  # a damaged name is no UTF-8, for example
                failure = error
        if failure is not None:
            raise program_problem(self.path, "cannot be loaded", failure, log.text)
        with guarded("the program's caches cannot be made", where=str(path)):
            self._outside = None if cache_io is None else OutsideCaches(cache_io, context_length)
        outside = self._outside
        held = (lambda: [*outside.tensors, *outside.states]) if outside else (lambda: memory)
        lasting = 0 if attention_sink else context_length
        self._state = ProgramState(state, held, lasting) if state else None

    @classmethod
    def of_manifest(
        cls, path: Path, facts: Mapping[str, Any], data_path: Path | None = None, **own: Any
    ) -> Program:
        """As the manifest's entry ``program`` describes it; ``own``: arguments of a subclass."""
        return cls(
            path,
            **own,
            context_length=facts["context_length"],
            steps=facts.get("steps", {"forward": facts["prefill_length"]}),
            dynamic=facts["dynamic_shapes"],
            rewind=facts.get("rewind"),
            recurrent=bool(facts.get("recurrent")),
            cache_io=facts.get("cache_io"),
            state=state_tensors(facts),
            rows_length=rows_length(facts),
            verify=bool(facts.get("verify_length")),
            attention_sink=is_endless(facts),
            token_dtype=facts.get("token_dtype", "int64"),
            vocab_size=facts.get("vocab_size"),
            data_path=data_path,
        )

    def reset(self, position: int = 0) -> int:
        """Discard what is remembered from ``position`` on; back to a mark before it, or all, if the
        caches cannot go back that far.

        Returns:
            the position from which to continue: ``position``, that of a mark, or 0.
        """
        if position != self.position and self._lost(position):
            mark = self._marks.last(position)
            position = 0 if mark is None else mark.position
            if mark is not None and self._state is not None:
                self._state.put(mark.copied, mark.position, mark.furthest)
                self._furthest = mark.furthest
        self._marks.forget(position)
        self.position = position
        if position == 0:
            self._furthest = 0
        return position

    def mark(self) -> None:
        """Make it possible to come back to this position, in caches that cannot go back."""
        if self._state is not None and self.position and self._lost(0):
            where = self.position, self._furthest
            self._marks.add(Mark(*where, self._state.copied(*where, changing=True)))

    def _lost(self, position: int) -> bool:
        """Whether the caches no longer hold what they held at an earlier position."""
        if self.rewind is None or self._furthest <= self.rewind["until"]:
            return False
        return self._furthest - position > self.rewind["tokens"]

    @property
    def gives_state(self) -> bool:
        """Whether ``copied`` and ``put`` can be called."""
        return self._state is not None

    def copied(self) -> tuple[int, Copied]:
        """(furthest position of this text, a copy of all that is remembered at ``position``)

        Raises:
            BundleRuntimeError: the program does not give out its state, or is closed.
        """
        return self._furthest, self._given().copied(self.position, self._furthest)

    def put(self, copied: Copied, position: int, furthest: int) -> None:
        """Go to where ``copied`` was called, with what it returned.

        Raises:
            BundleRuntimeError: as ``copied``, or it is not of this program.
        """
        state = self._given()
        wrong = state.mismatch(copied, position, furthest)
        if not wrong and position > self.context_length and not self.attention_sink:
            wrong = f"{position} tokens do not fit the context of {self.context_length}"
        if wrong:
            raise BundleRuntimeError(f"the state is not of this program: {wrong}")
        self._marks = Marks()
        state.put(copied, position, furthest)
        self.position, self._furthest = position, furthest
        self.mark()

    def rows(self, start: int) -> Rows:
        """A copy of the slots from ``start`` on of caches that later steps do not overwrite."""
        return self._given().rows(start, self.position)

    def lasting(self, copied: Copied) -> Rows:
        """``rows(0)``, of what was given to ``put`` last."""
        return self._given().lasting(copied, self.position)

    def parked(self) -> Parked:
        """What must be kept beside ``rows`` to come back to this position by ``resume``.

        Raises:
            BundleRuntimeError: as ``copied``.
        """
        where = self.position, self._furthest
        changing = self._given().copied(*where, changing=True) if self.position else {}
        return Parked(*where, changing, self._marks.copy())

    def resume(self, parked: Parked, rows: SavedRows, start: int) -> None:
        """Go to where ``parked`` was called.

        Args:
            rows: all rows of that text; those before ``start`` are in memory already.
        """
        state = self._given()
        for part, first in rows.behind(start):
            state.put_rows(part, first)
        state.put(parked.changing, parked.position, parked.furthest)
        self.position, self._furthest = parked.position, parked.furthest
        self._marks = parked.marks.copy()

    def _given(self) -> ProgramState:
        self._require_open()
        if self._state is None:
            raise BundleRuntimeError(
                "the program does not give out its state", where=str(self.path),
                fix="export again with runtime.snapshots=require",
            )  # fmt: skip
        return self._state

    def can_undo(self, count: int) -> bool:
        """Whether after ``count`` further tokens it can come back here."""
        furthest = max(self._furthest, self.position + count)
        if self.rewind is None or furthest <= self.rewind["until"]:
            return True
        return furthest - self.position <= self.rewind["tokens"]

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        """Feed 1 to ``prefill_length`` tokens; returns logits [1, S or 1, V] float32.

        Args:
            every: return the logits after each token, of at most ``rows_length``.

        Raises:
            ArgumentError: these are no tokens, or one has no embedding: ExecuTorch would end the
                process.
            BundleRuntimeError: too many tokens, or the program fails.
        """
        tokens = self._ids(tokens)
        count = len(tokens)
        most = self.rows_length if every else self.prefill_length
        if not 0 < count <= most:
            raise BundleRuntimeError(f"a step takes up to {most} tokens, not {count}")
        if self.position + count > self.context_length and not self.attention_sink:
            raise BundleRuntimeError(
                f"{self.position + count} tokens do not fit the context of {self.context_length}",
                fix="a shorter prompt, or export with a larger runtime.context_length",
            )
        self._require_open()
        name = VERIFY if every and self._verify else self._method_for(count)
        if name is None:
            return torch.cat([self.step([token]) for token in tokens], dim=1)
        padding = 0 if self.dynamic else self.steps[name] - count
        length = count + padding
        caches = self._outside.inputs(self.position, length) if self._outside else []
        first, further = self._fed(tokens, length)
        inputs = (first, self._positions(name, length), *caches, *further)
        method = self._methods.get(name) or self._loaded(name)
        try:
            outputs: Sequence[Any] = method.execute(inputs)
        except Exception as error:
            raise program_problem(self.path, "failed", error, "") from None
        if self._outside is not None:
            self._outside.store(outputs[1:], self.position, count)
        self.position += count
        self._furthest = max(self._furthest, self.position)
        logits: Tensor = outputs[0].float()
        if logits.dim() == 2:  # [1, V] of the last token
            logits = logits[:, None]
        return logits[:, :count] if padding else logits

    def _loaded(self, name: str) -> Any:
        """A method that is needed only now: it may take as much memory as the others."""
        failure: Exception | None = None
        with captured_native_log() as log:
            try:
                self._methods[name] = self._program.load_method(name)
            except Exception as error:
                failure = error
        if failure is not None:
            raise program_problem(self.path, f"cannot load its method {name}", failure, log.text)
        return self._methods[name]

    def _ids(self, tokens: Sequence[int]) -> list[int]:
        return checked_ids(tokens, self.vocab_size)

    def _fed(self, tokens: list[int], length: int) -> tuple[Tensor, Sequence[Tensor]]:
        """(the first input of a step, those behind the others), padded to ``length``"""
        padded = [*tokens, *[0] * (length - len(tokens))]
        return torch.tensor([padded], dtype=self._dtype), ()

    def _positions(self, method: str, length: int) -> Tensor:
        """That of the step's first token [1], or in programs of optimum-executorch those of all
        [S]."""
        count = length if self._each_position[method] else 1
        return torch.arange(self.position, self.position + count, dtype=self._dtype)

    def check_ids(self, tokens: Sequence[int]) -> None:
        """Raises BundleRuntimeError if an id is not in the vocabulary."""
        size = self.vocab_size
        for wrong in (each for each in tokens if size is not None and not 0 <= each < size):
            raise BundleRuntimeError(
                f"token id {wrong} has no embedding: the program has {self.vocab_size}",
                where=str(self.path),
            )

    def close(self) -> None:
        """Release the memory of program and caches."""
        self._state, self._marks = None, Marks()
        self._methods, self._program, self._outside = {}, None, None

    def _require_open(self) -> None:
        if self.closed:
            raise BundleRuntimeError(
                "the program is closed", where=str(self.path), fix="load the bundle again"
            )

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return not self._methods

    def _method_for(self, count: int) -> str | None:
        """The method with the shortest step for this many tokens. None if its padding would be
        written past the end of the caches, or into a recurrent state; the tokens must then be fed
        one at a time.
        """
        able = {name: length for name, length in self.steps.items() if length >= count}
        name = min(able, key=able.__getitem__)
        padded = not self.dynamic and able[name] != count
        if padded and self.recurrent:
            return None if count > 1 else name
        if padded and self._outside is None and self.position + able[name] > self.context_length:
            return None if count > 1 else name
        return name

    @property
    def full(self) -> bool:
        """Whether the cache is full."""
        return not self.attention_sink and self.position >= self.context_length

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        """Feed any number of tokens in chunks; returns the logits [V] of the last one.

        Raises:
            Cancelled: ``stopped`` is set.
        """
        tokens = self._ids(tokens)
        logits: Tensor | None = None
        size = min(self.prefill_length, _CHUNK) if self.dynamic else self.prefill_length
        for start in range(0, len(tokens), size):
            next_step(self.stopped, first=start == 0)
            logits = self.step(tokens[start : start + size])
        if logits is None:
            raise BundleRuntimeError("the prompt is empty", fix="give at least one token")
        return logits[0, -1]
