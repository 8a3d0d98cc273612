"""GGUF files, through the ``gguf`` package.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llm_export.checkpoints.base import TokenizerAssets, require_file
from llm_export.checkpoints.gguf_tokenizer import tokenizer_from_metadata
from llm_export.errors import CheckpointError

_PLAIN = {"F32", "F16"}


class GGUFCheckpoint:
    """One GGUF file.

    ``config()`` is its metadata, ``tensor:NAME`` -> shape, and ``values:NAME`` -> the numbers
    of the small tables by which RoPE scalings are stored.
    """

    naming = "gguf"
    format = "gguf"

    def __init__(self, path: Path) -> None:
        self.path = require_file(path, "the GGUF file")
        self.files: tuple[Path, ...] = (path,)
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise CheckpointError(
                    "not a GGUF file: it does not begin with 'GGUF'", where=str(path)
                )

    @cached_property
    def _reader(self) -> Any:
        from gguf import GGUFReader

        try:
            reader = GGUFReader(self.path)
        except Exception as error:  # numpy's ValueError, IndexError, ... on a cut file
            raise self._damaged(error) from None
        if not reader.tensors:
            raise CheckpointError("the GGUF file holds no tensors", where=str(self.path))
        last = max(int(t.data_offset) + int(t.n_bytes) for t in reader.tensors)
        if last > self.path.stat().st_size:
            raise self._damaged(f"{last} bytes expected")
        return reader

    def _damaged(self, reason: object) -> CheckpointError:
        size = self.path.stat().st_size
        return CheckpointError(
            f"the GGUF file is truncated or damaged: it has {size} bytes ({reason})",
            where=str(self.path),
            fix="fetch it again",
        )

    @cached_property
    def metadata(self) -> dict[str, Any]:
        try:
            return {name: field.contents() for name, field in self._reader.fields.items()}
        except (IndexError, UnicodeDecodeError, ValueError) as error:
            raise self._damaged(error) from None

    def config(self) -> Mapping[str, Any]:
        shapes = {
            f"tensor:{t.name}": tuple(int(n) for n in t.shape[::-1]) for t in self._reader.tensors
        }
        tables = {
            f"values:{t.name}": [float(x) for x in t.data.reshape(-1)]
            for t in self._reader.tensors
            if t.name.startswith("rope_") and t.tensor_type.name == "F32"
        }
        return {**self.metadata, **shapes, **tables}

    def names(self) -> list[str]:
        return [t.name for t in self._reader.tensors]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each tensor dequantized to float32, shaped as in torch (outermost first)."""
        from gguf.quants import dequantize

        for t in self._reader.tensors:
            shape = tuple(int(n) for n in t.shape[::-1])
            if t.tensor_type.name in _PLAIN:
                # A copy: the file is mapped read-only, and torch wants writable memory.
                values = np.array(t.data, copy=True)
            else:
                try:
                    values = dequantize(t.data, t.tensor_type)
                except NotImplementedError:
                    raise CheckpointError(
                        f"tensor '{t.name}' has the block type {t.tensor_type.name}, which the "
                        "gguf package cannot dequantize",
                        where=str(self.path),
                    ) from None
            yield t.name, torch.from_numpy(values).reshape(shape)

    def tokenizer(self) -> TokenizerAssets:
        return tokenizer_from_metadata(self.metadata, str(self.path))
