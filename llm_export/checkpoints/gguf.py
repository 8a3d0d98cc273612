"""GGUF files, through the ``gguf`` package.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llm_export.checkpoints.base import Checkpoint, Reader, TensorInfo
from llm_export.checkpoints.gguf_claims import check_claims
from llm_export.checkpoints.gguf_numbers import numbers_of_layers
from llm_export.checkpoints.spans import read_into
from llm_export.errors import CheckpointError, LlmExportError, excerpt, first_line
from llm_export.files import require_file
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.gguf import tokenizer_from_metadata

_CHUNK_BYTES = 256 << 10
_TABLE_BYTES = 256 << 10


@dataclass(frozen=True)
class _Entry:
    """A tensor of the file. ``shape`` as in torch, outermost first; ``kind`` is a GGML type."""

    shape: tuple[int, ...]
    kind: Any
    offset: int
    n_bytes: int


_Content = tuple[dict[str, object], dict[str, _Entry]]


@lru_cache(maxsize=1)  # the checks, the model and the tokenizer each open it; this takes seconds
def _read(path: Path, *state: int) -> tuple[dict[str, object], dict[str, _Entry], str]:
    """(metadata, tensors, byte order). The package's reader holds an array per token, so it is not
    kept. ``state`` is what changes with the file."""
    from gguf import GGUFReader

    check_claims(path)
    reader = GGUFReader(path)
    entries = {
        t.name: _Entry(
            tuple(int(n) for n in t.shape[::-1]), t.tensor_type, int(t.data_offset), int(t.n_bytes)
        )
        for t in reader.tensors
    }
    return {name: f.contents() for name, f in reader.fields.items()}, entries, reader.byte_order


class GGUFCheckpoint:
    """One GGUF file.

    ``config()`` returns its metadata, ``tensor:NAME`` -> shape, and ``values:NAME`` -> the values
    of the small tensors that store RoPE scaling factors.
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
    def _content(self) -> _Content:
        """(metadata, tensors)."""
        state = self.path.stat()
        try:
            metadata, entries, byte_order = _read(
                self.path, state.st_mtime_ns, state.st_size, state.st_ino
            )
        except Exception as error:  # numpy's ValueError, IndexError, ... on a cut file
            raise self._damaged(error) from None
        if not entries:
            raise CheckpointError("the GGUF file holds no tensors", where=str(self.path))
        parts = metadata.get("split.count", 1)
        if not isinstance(parts, int):
            raise self._damaged(f"split.count={excerpt(parts)}")
        if parts > 1:
            raise CheckpointError(
                f"the GGUF file is one of {parts}",
                where=str(self.path),
                fix="join them: llama-gguf-split --merge FIRST.gguf OUT.gguf",
            )
        if byte_order == "S":  # the package's term for the other byte order
            raise CheckpointError(
                "the GGUF file is of the other byte order than this machine", where=str(self.path)
            )
        last = max(entry.offset + entry.n_bytes for entry in entries.values())
        if last > self.path.stat().st_size:
            raise self._damaged(f"{last} bytes expected")
        return metadata, entries

    def _damaged(self, reason: object) -> CheckpointError:
        size = self.path.stat().st_size
        return CheckpointError(
            f"the GGUF file is truncated or damaged: it has {size} bytes ({reason})",
            where=str(self.path),
            fix="fetch it again",
        )

    @property
    def metadata(self) -> dict[str, object]:
        return self._content[0]

    def config(self) -> Mapping[str, Any]:
        entries = self._content[1]
        shapes = {f"tensor:{name}": entry.shape for name, entry in entries.items()}
        tables = {
            f"values:{name}": self._table(entry)
            for name, entry in entries.items()
            if name.startswith("rope_")
            and entry.kind.name == "F32"
            and entry.n_bytes <= _TABLE_BYTES
        }
        return {**self.metadata, **shapes, **tables}

    def _table(self, entry: _Entry) -> list[float]:
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            return [float(x) for x in np.frombuffer(file.read(entry.n_bytes), dtype="<f4")]

    @cached_property
    def _numbers(self) -> dict[str, Tensor]:
        return numbers_of_layers(self.metadata, str(self.path))

    def names(self) -> list[str]:
        return [*self._content[1], *self._numbers]

    def infos(self) -> Mapping[str, TensorInfo]:
        stored = {name: TensorInfo(e.shape, e.kind.name) for name, e in self._content[1].items()}
        return stored | {
            name: TensorInfo(tuple(x.shape), "F32") for name, x in self._numbers.items()
        }

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each tensor dequantized to float32, shaped as in torch (outermost first)."""
        for name, entry in self._content[1].items():
            yield name, self._read(name, entry)
        yield from self._numbers.items()

    def tokenizer(self) -> TokenizerAssets:
        try:
            return tokenizer_from_metadata(self.metadata, str(self.path))
        except KeyError as error:
            raise CheckpointError(f"the GGUF file lacks {error}", where=str(self.path)) from None
        except LlmExportError:
            raise
        except Exception as error:  # the tokenizers library raises bare Exception
            raise CheckpointError(
                f"the GGUF file's tokenizer is damaged: {first_line(error)}", where=str(self.path)
            ) from None

    def _read(self, name: str, entry: _Entry) -> Tensor:
        if entry.kind.name == "F32":
            value = torch.empty(entry.shape)
            read_into(self.path, entry.offset, value.view(-1))
            return value
        # Dequantize some rows at a time: the package makes several copies of its input.
        rows = int(np.prod(entry.shape[:-1], dtype=np.int64))
        width = entry.n_bytes // rows
        value = torch.empty(rows, entry.shape[-1])
        step = max(1, _CHUNK_BYTES // width)
        for first in range(0, rows, step):
            count = min(step, rows - first)
            blocks = torch.empty(count * width, dtype=torch.uint8)
            read_into(self.path, entry.offset + first * width, blocks)
            values = self._dequantized(name, entry.kind, blocks.numpy().reshape(count, width))
            value[first : first + count] = torch.from_numpy(values)
        return value.reshape(entry.shape)

    def _dequantized(self, name: str, kind: Any, blocks: np.ndarray) -> np.ndarray:
        from gguf.quants import dequantize

        try:
            with np.errstate(invalid="ignore", over="ignore"):  # load_weights checks the values
                return dequantize(blocks, kind)
        except NotImplementedError:
            raise CheckpointError(
                f"tensor '{name}' has the block type {kind.name}, which the gguf package cannot "
                "dequantize",
                where=str(self.path),
            ) from None


def fits(path: Path) -> bool:
    """A .gguf file, or a folder with exactly one."""
    return path.suffix == ".gguf" if path.is_file() else len(list(path.glob("*.gguf"))) == 1


def open_gguf(path: Path, config_path: Path | None) -> Checkpoint:
    return GGUFCheckpoint(path if path.is_file() else next(path.glob("*.gguf")))


READER = Reader(".gguf", fits, open_gguf)
