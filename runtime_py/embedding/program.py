"""The program of a bundle that embeds: ``forward(ids [B, S], mask [B, S]) -> [B, D]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.embedding.settings import EmbedSettings
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.method_program import MethodProgram

_DTYPES = {"int64": (torch.int64, 4), "int32": (torch.int32, 3)}
"""Of token ids: name -> dtype, and its number in ExecuTorch
(runtime/core/portable_type/scalar_type.h)."""


class EmbeddingProgram:
    """Runs batches of token ids.

    Args:
        vocabulary: number of token ids.
        dtype: of ids and mask: int64 or int32.

    Raises:
        BundleRuntimeError: the file cannot be loaded here, or is of another manifest.
    """

    def __init__(
        self, path: Path, settings: EmbedSettings, vocabulary: int, *, dtype: str = "int64",
        threads: int | None = None,
    ) -> None:  # fmt: skip
        self.settings, self._vocabulary = settings, vocabulary
        self._dtype, code = _DTYPES[dtype]
        self._program = MethodProgram(path, threads=threads)
        try:
            for length in settings.lengths or (settings.max_length,):
                name, size = settings.method(length)
                what = _problem(self._program.load(name).metadata, settings, size, code)
                if what is not None:
                    raise BundleRuntimeError(
                        "the program is not the one that the manifest describes: method "
                        f"{name} {what}", where=str(path), fix="copy or export the bundle again",
                    )  # fmt: skip
        except BaseException:
            self._program.close()
            raise

    def __call__(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Embeddings [B, D] of B texts, at most ``max_batch``, of 1 to ``max_length`` tokens.

        Raises:
            BundleRuntimeError: the program fails.
        """
        name, length = self.settings.method(max(map(len, rows)))
        count = len(rows) if self.settings.dynamic else self.settings.max_batch
        ids = torch.full((count, length), self.settings.pad_id, dtype=self._dtype)
        mask = torch.zeros(count, length, dtype=self._dtype)
        for index in range(count):
            # Rows that only fill a fixed batch repeat a text: a row of padding has no embedding.
            row = rows[min(index, len(rows) - 1)]
            left = self.settings.pad_side == "left"
            where = slice(length - len(row), length) if left else slice(0, len(row))
            ids[index, where] = torch.tensor(row, dtype=self._dtype)
            mask[index, where] = 1
        (values,) = self._program.call(name, (ids, mask))
        return values[: len(rows)].float()

    def check_ids(self, rows: Sequence[Sequence[int]]) -> None:
        """
        Raises:
            ArgumentError: a text has no token, or one that is not in the vocabulary.
        """
        if not isinstance(rows, Sequence):
            raise ArgumentError(
                f"ids must be a list of lists of token ids, not {type(rows).__name__}"
            )
        for index, row in enumerate(rows):
            if not isinstance(row, Sequence) or isinstance(row, str) or not row:
                raise ArgumentError(f"text {index} must be a list of token ids, at least one")
            for token in row:
                if type(token) is not int or not 0 <= token < self._vocabulary:
                    raise ArgumentError(
                        f"text {index} has the token {shown(token)}; ids are whole numbers from 0 "
                        f"to {self._vocabulary - 1}"
                    )

    @property
    def closed(self) -> bool:
        return self._program.closed

    def close(self) -> None:
        self._program.close()


def _problem(meta: Any, settings: EmbedSettings, length: int, code: int) -> str | None:
    """What differs from the manifest; None: nothing."""
    if meta.num_inputs() != 2 or meta.num_outputs() != 1:
        return f"takes {meta.num_inputs()} tensors and returns {meta.num_outputs()}, not 2 and 1"
    shape = (settings.max_batch, length)
    for index in range(2):
        found = meta.input_tensor_meta(index)
        if tuple(found.sizes()) != shape or found.dtype() != code:
            return f"takes {tuple(found.sizes())} of another dtype or size than {shape}"
    out = tuple(meta.output_tensor_meta(0).sizes())
    wanted = (settings.max_batch, settings.dimensions)
    return None if out == wanted else f"returns {out}, not {wanted}"
