"""Turn texts into others with a bundle: translate, summarise, and what else it was trained for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, overload

import torch

from runtime_py.bundle import Bundle
from runtime_py.bundle_tokenizer import tokenizer_of
from runtime_py.delta import Delta
from runtime_py.errors import ArgumentError, Cancelled
from runtime_py.exclusive import Exclusive
from runtime_py.method_program import MethodProgram
from runtime_py.request import seeds
from runtime_py.sampling import SETTINGS, Sampling
from runtime_py.seq2seq.answer import Searched, search_text
from runtime_py.seq2seq.opening import decoder_of, open_bundle
from runtime_py.seq2seq.search import Search
from runtime_py.seq2seq.translate_settings import TranslateSettings
from runtime_py.stream import Stream
from runtime_py.task_bundle import TaskBundle
from runtime_py.tokenizer import TextTokenizer

TASK = "translate"


class Translator(TaskBundle):
    """A loaded bundle of the task translate.

    Threads may share it: one text is answered at a time, and the others wait. ``with`` closes it
    at the end of the block.

    Attributes:
        settings: what the manifest says of the task.
        defaults: the bundle's sampling settings.
    """

    _program: MethodProgram
    _lock: Exclusive

    def __init__(self, bundle: Bundle, program: MethodProgram, tokenizer: TextTokenizer) -> None:
        self.bundle, self.tokenizer = bundle, tokenizer
        self.settings = TranslateSettings.of(bundle.manifest, str(bundle.path))
        self.defaults = Sampling(**bundle.manifest["sampling"])
        self._program = program
        self._model = decoder_of(bundle, program, self.settings.target_length)
        without = tokenizer.without_text(bundle.manifest["program"]["vocab_size"])
        self._never = torch.tensor(without) if without else None
        self._fixed = not bundle.manifest["program"]["dynamic_shapes"]
        self._lock = Exclusive()

    @classmethod
    def load(
        cls, path: str | Path | Bundle, *, threads: int | None = None, verify_hashes: bool = True
    ) -> Translator:
        """Load a bundle: a folder, a file of ``llm-export pack``, a repository of the hub, or one
        that is open.

        Args:
            threads: size of ExecuTorch's thread pool; None keeps its choice.
            verify_hashes: refuse a program or tokenizer whose SHA-256 is not the manifest's. A
                damaged program can end the process.

        Raises:
            BundleRuntimeError: it is damaged, of another task, or cannot run on this machine.
        """
        bundle, program = open_bundle(path, TASK, threads, verify_hashes)
        try:
            return cls(bundle, program, tokenizer_of(bundle))
        except BaseException:
            program.close()
            raise

    @overload
    def translate(self, texts: str, **settings: Any) -> Searched: ...
    @overload
    def translate(self, texts: Sequence[str], **settings: Any) -> list[Searched]: ...
    def translate(self, texts: str | Sequence[str], **settings: Any) -> Searched | list[Searched]:
        """The answer to a text, or those to several, in their order.

        Args:
            prefix: a name of ``settings.prefixes``, or a text to put before each.
            seed: makes sampling reproducible.
            beams: sequences that are followed at once (beam search); 1 is greedy or sampled.
            length_penalty, early_stopping: of beam search; see ``search.Search``.
            on_text: called with each piece of text as it is decoded.
            settings: fields of Sampling, such as max_new_tokens or temperature.

        Raises:
            ArgumentError: a text is too long or empty, or an argument is wrong.
            BundleRuntimeError: the program fails.
        """
        on_text: Callable[[str], None] = settings.pop("on_text", None) or (lambda piece: None)
        if not isinstance(texts, str | Sequence):
            raise ArgumentError(
                f"texts must be a text or a list of texts, not {type(texts).__name__}"
            )
        found = []
        for text in [texts] if isinstance(texts, str) else texts:
            with self.stream(text, **settings) as stream:
                for piece in stream:
                    on_text(piece)
                found.append(stream.result)
        answers = [each for each in found if isinstance(each, Searched)]
        return answers[0] if isinstance(texts, str) else answers

    def stream(
        self,
        text: str,
        *,
        prefix: str | None = None,
        seed: int | None = None,
        beams: int = 1,
        length_penalty: float = 1.0,
        early_stopping: Any = False,
        **settings: Any,
    ) -> Stream:
        """The pieces of one answer as they are decoded; see ``translate``."""
        seeds(seed, 1)
        search = Search(
            _sampling(self.defaults, settings), seed, beams, length_penalty, early_stopping
        )
        ids = self.encode(text, prefix=prefix)
        result, stopped = Searched(), threading.Event()
        pieces = self._pieces(ids, search, result, stopped)
        return Stream(pieces, result, self._lock, stopped)

    def encode(self, text: str, *, prefix: str | None = None) -> list[int]:
        """Token ids of a source, as the encoder gets them.

        Raises:
            ArgumentError: it is empty or too long.
        """
        s = self.settings
        # All that stands around a source is in the settings, BOS too.
        inner = self.tokenizer.encode(
            text if prefix is None else s.prefix(prefix) + text, raw=False
        )
        if not inner:
            raise ArgumentError("there is no text to translate: it has no tokens")
        ids = [*s.source_prefix, *inner, *s.source_suffix]
        if len(ids) > s.source_length:
            raise ArgumentError(
                f"the text has {len(ids)} tokens; the model takes up to {s.source_length}",
                fix="split it, for example by sentences",
            )
        return ids

    def measure(self, ids: list[int], count: int) -> tuple[float, float]:
        """(seconds to encode a source, seconds to decode ``count`` tokens after it), whatever the
        tokens are."""
        with self._lock:
            self._model.stopped = None
            begin = time.perf_counter()
            self._model.encode(self._inputs(ids))
            encoded = time.perf_counter()
            made = list(self.settings.start_ids)
            for _ in range(count):
                made.append(int(self._model.logits(made).argmax()))
            return encoded - begin, time.perf_counter() - encoded

    def _pieces(
        self, ids: list[int], search: Search, result: Searched, stopped: threading.Event
    ) -> Generator[Delta, None, None]:
        with self._lock:
            begin = time.perf_counter()
            self._model.stopped = stopped
            try:
                self._model.encode(self._inputs(ids))
            except Cancelled:
                result.finish = "cancelled"
                return
            stats = result.stats
            stats.prompt_tokens, stats.prefill_seconds = len(ids), time.perf_counter() - begin
            pieces = search_text(
                self._model, self.tokenizer, self.settings.start_ids, (), self.settings.eos_ids,
                search, result, self._never,
            )  # fmt: skip
            for piece in pieces:
                yield Delta("text", piece)
            stats.time_to_first_token += stats.prefill_seconds

    def _inputs(self, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        length = self.settings.source_length if self._fixed else len(ids)
        padded = torch.full((1, length), self.settings.pad_id, dtype=torch.int64)
        padded[0, : len(ids)] = torch.tensor(ids)
        return padded, (torch.arange(length) < len(ids)).to(torch.int64)[None]

    def _able(self) -> str:
        return f"up to {self.settings.source_length} tokens"


def _sampling(defaults: Sampling, settings: dict[str, Any]) -> Sampling:
    """Raises ArgumentError for an unknown setting."""
    known = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in known:
            raise ArgumentError(
                f"there is no setting '{name}'",
                fix=f"choices: {', '.join((*SETTINGS, 'beams', 'length_penalty'))}",
            )
    return replace(defaults, **settings)
