"""Embed texts with a bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, task_settings
from runtime_py.embedding.program import EmbeddingProgram
from runtime_py.embedding.result import Embeddings
from runtime_py.embedding.settings import EmbedSettings
from runtime_py.embedding.similarity import similarity
from runtime_py.embedding.tokens import Encoded, TextEncoder
from runtime_py.errors import ArgumentError, BundleRuntimeError, check_whole, shown
from runtime_py.packed import named
from runtime_py.task_bundle import TaskBundle, open_task


class TextTooLongError(ArgumentError):
    """A text has more tokens than the model takes.

    Attributes:
        index: of the text.
        tokens: that it has; most: that it may have.
    """

    def __init__(self, index: int, tokens: int, most: int) -> None:
        super().__init__(
            f"text {index} has {tokens} tokens; the model takes {most}",
            fix="split it, or truncate=True embeds its beginning",
        )
        self.index, self.tokens, self.most = index, tokens, most


class Embedder(TaskBundle):
    """A loaded bundle of the task embed.

    Threads may share it: one call of the program runs at a time. ``with`` closes it at the end of
    the block.

    Attributes:
        settings: what the manifest says of the task.
    """

    _program: EmbeddingProgram

    def __init__(self, bundle: Bundle, program: EmbeddingProgram, tokens: TextEncoder) -> None:
        self.bundle, self.settings = bundle, program.settings
        self._program, self._tokens = program, tokens
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, path: str | Path | Bundle, *, threads: int | None = None, verify_hashes: bool = True
    ) -> Embedder:
        """Load a bundle: a folder, a file of ``llm-export pack``, a repository of the hub, or one
        that is open.

        Args:
            threads: size of ExecuTorch's thread pool; None keeps its choice.
            verify_hashes: refuse a program or tokenizer whose SHA-256 is not the manifest's. A
                damaged program can end the process.

        Raises:
            BundleRuntimeError: it is damaged, of another task, or cannot run on this machine.
        """
        bundle, file, tokenizer = open_task(path, EMBED, threads, verify_hashes)
        with named(path, bundle.path):
            facts = bundle.manifest["program"]
            settings = EmbedSettings.parse(
                task_settings(bundle), str(bundle.path), dynamic=facts["dynamic_shapes"]
            )
            nfc = bundle.manifest["tokenizer"].get("normalization") == "NFC"
            tokens = TextEncoder(tokenizer, max_length=settings.max_length, nfc=nfc)
            program = EmbeddingProgram(
                file, settings, facts["vocab_size"], dtype=facts.get("token_dtype", "int64"),
                threads=threads,
            )  # fmt: skip
            return cls(bundle, program, tokens)

    @property
    def dimensions(self) -> int:
        """Size of an embedding that is not cut."""
        return self.settings.dimensions

    def embed(
        self,
        texts: Sequence[str] | str,
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        batch_size: int | None = None,
        truncate: bool = True,
    ) -> Tensor:
        """Embeddings of texts, float32 [N, D], in their order; of one text [1, D].

        Args:
            prompt: query, document or another name of the bundle's prompts, or a text to put
                before each text.
            dimensions: cut embeddings to so many dimensions, one of ``settings.matryoshka``.
            batch_size: texts of one call of the program; None: as many as it takes. The result
                does not depend on it, but for rounding.
            truncate: cut off what exceeds ``settings.max_length`` tokens; False: an error.

        Raises:
            ArgumentError: an argument is wrong, or a text too long with ``truncate=False``.
            BundleRuntimeError: the program fails.
        """
        return self.embed_with_stats(
            texts, prompt=prompt, dimensions=dimensions, batch_size=batch_size, truncate=truncate
        ).values

    def embed_with_stats(
        self,
        texts: Sequence[str] | str,
        *,
        prompt: str | None = None,
        dimensions: int | None = None,
        batch_size: int | None = None,
        truncate: bool = True,
    ) -> Embeddings:
        """As ``embed``, with what was cut off and how long it took."""
        size = self.settings.cut(dimensions)
        begin = time.perf_counter()
        encoded = self._tokens.encode(self._prompted(texts, prompt))
        return self._embedded(encoded, size, batch_size, truncate, begin)

    def embed_ids(
        self,
        ids: Sequence[Sequence[int]],
        *,
        dimensions: int | None = None,
        batch_size: int | None = None,
        truncate: bool = True,
    ) -> Embeddings:
        """As ``embed_with_stats``, of texts as token ids, special tokens included.

        Raises:
            ArgumentError: also if an id is not in the vocabulary, or a text has none.
        """
        size = self.settings.cut(dimensions)
        begin, most = time.perf_counter(), self.settings.max_length
        self._program.check_ids(ids)
        encoded = [Encoded(list(row)[:most], len(row)) for row in ids]
        return self._embedded(encoded, size, batch_size, truncate, begin)

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """How alike embeddings are by the model's own measure: [N, D] and [M, D] -> [N, M]; larger
        is more alike.

        Raises:
            ArgumentError: the shapes do not fit.
        """
        return similarity(self.settings.similarity, a, b)

    def count_tokens(self, text: str, *, prompt: str | None = None) -> int:
        """Tokens of a text, its prompt and special tokens, of which only ``settings.max_length``
        would be embedded."""
        return len(self._tokens.whole(self._prompted(text, prompt))[0])

    def _able(self) -> str:
        settings = self.settings
        return f"{settings.dimensions} dimensions, up to {settings.max_length} tokens"

    def _prompted(self, texts: Sequence[str] | str, prompt: str | None) -> list[str]:
        prefix = self.settings.prefix(prompt)
        given = [texts] if isinstance(texts, str) else texts
        if not isinstance(given, Sequence):
            raise ArgumentError(f"texts must be a list of texts, not {type(texts).__name__}")
        return [prefix + text if isinstance(text, str) else text for text in given]

    def _embedded(
        self, encoded: Sequence[Encoded], size: int, batch_size: int | None, truncate: bool,
        begin: float,
    ) -> Embeddings:  # fmt: skip
        if batch_size is not None:
            check_whole("batch_size", batch_size, 1)
        truncated = tuple(i for i, each in enumerate(encoded) if each.truncated)
        if truncated and not truncate:
            raise TextTooLongError(
                truncated[0], encoded[truncated[0]].length, self.settings.max_length
            )
        values = torch.empty(len(encoded), self.settings.dimensions)
        calls = 0
        for rows in _batches(encoded, min(batch_size or 2**31, self.settings.max_batch)):
            with self._lock:
                values[rows] = self._program([encoded[row].ids for row in rows])
            calls += 1
        _check_finite(values)
        return Embeddings(
            self._cut(values, size), tuple(len(each.ids) for each in encoded), truncated,
            time.perf_counter() - begin, calls,
        )  # fmt: skip

    def _cut(self, values: Tensor, size: int) -> Tensor:
        if size == values.shape[1]:
            return values
        cut = values[:, :size]
        return torch.nn.functional.normalize(cut, dim=1) if self.settings.normalize else cut.clone()


def _batches(encoded: Sequence[Encoded], size: int) -> Iterator[list[int]]:
    """Indices of texts of similar length, so that little is padded; the longest first, which needs
    the most memory."""
    order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row].ids))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _check_finite(values: Tensor) -> None:
    good = values.isfinite().all(dim=1)
    if not bool(good.all()):
        row = int((~good).nonzero()[0])
        raise BundleRuntimeError(
            f"the program's embedding of text {row} has values that are no numbers: "
            f"{shown(values[row][~values[row].isfinite()][0].item())}",
            fix="llm-export verify BUNDLE",
        )
