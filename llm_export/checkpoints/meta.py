"""Meta's checkpoints: ``consolidated.NN.pth``, one file per model-parallel rank, and
``params.json``.

The layers of Meta's reference code (fairscale's ColumnParallelLinear, RowParallelLinear,
ParallelEmbedding, VocabParallelEmbedding) determine how each weight is split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import Checkpoint, Reader, TensorInfo
from llm_export.checkpoints.spans import Span, dtype_name, in_reading_order, read_span
from llm_export.checkpoints.torch_file import read_torch_header
from llm_export.errors import CheckpointError
from llm_export.files import read_json, require_file
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.folder import read_tokenizer

_SHARD = re.compile(r"consolidated\.(\d+)\.pth")
_COLUMN = re.compile(r"layers\.\d+\.(attention\.w[qkv]|feed_forward\.w[13])\.weight|output\.weight")
_ROW = re.compile(r"layers\.\d+\.(attention\.wo|feed_forward\.w2)\.weight")
_REPLICATED = re.compile(r"(layers\.\d+\.(attention|ffn)_norm|norm)\.weight|rope\.freqs")
_EMBEDDING = "tok_embeddings.weight"


class MetaCheckpoint:
    """The folder of ``files`` must also hold params.json and a tokenizer."""

    naming = "meta"
    format = "torch"

    def __init__(self, files: list[Path], config_path: Path | None = None) -> None:
        self.files: tuple[Path, ...] = tuple(require_file(f, "the weights file") for f in files)
        self._config_path = config_path or files[0].parent / "params.json"

    def config(self) -> Mapping[str, Any]:
        return read_json(require_file(self._config_path, "the model's params.json"))

    def names(self) -> list[str]:
        return list(self._pieces)

    def infos(self) -> Mapping[str, TensorInfo]:
        return {
            name: TensorInfo(self._shape(name), dtype_name(pieces[0].dtype))
            for name, pieces in self._pieces.items()
        }

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, _ in in_reading_order({n: pieces[0] for n, pieces in self._pieces.items()}):
            yield name, self._read(name)

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.files[0].parent)

    @cached_property
    def _pieces(self) -> dict[str, list[Span]]:
        """Name -> its shard in each file."""
        ranks = [read_torch_header(path) for path in self.files]
        for rank, path in zip(ranks, self.files, strict=True):
            if differing := sorted(set(rank) ^ set(ranks[0])):
                raise CheckpointError(
                    f"the files hold different tensors: {', '.join(differing[:4])}", where=str(path)
                )
        return {name: [rank[name] for rank in ranks] for name in ranks[0]}

    @cached_property
    def _dims(self) -> dict[str, int | None]:
        """Name -> the dimension that is split across files; None if each file holds the whole
        tensor.
        """
        if len(self.files) == 1:
            return dict.fromkeys(self._pieces)
        return {name: self._dim(name, pieces) for name, pieces in self._pieces.items()}

    def _dim(self, name: str, pieces: list[Span]) -> int | None:
        count, hidden = len(pieces), self.config().get("dim")
        shapes = {span.shape for span in pieces}
        if len(shapes) > 1:
            raise CheckpointError(
                f"the parts of '{name}' have different shapes: {sorted(shapes)}",
                where=str(self.files[0].parent),
            )
        shape = pieces[0].shape
        if _REPLICATED.fullmatch(name):
            return None
        if _COLUMN.fullmatch(name) and shape[1] == hidden and self._all_heads(name, shape[0]):
            return 0
        if _ROW.fullmatch(name) and shape[0] == hidden:
            return 1
        # Llama 2 splits the embedding by channels, Llama 3 by vocabulary.
        if name == _EMBEDDING and shape[1] == hidden:
            return 0
        if name == _EMBEDDING and shape[1] * count == hidden:
            return 1
        raise CheckpointError(
            f"'{name}' has parts of shape {shape} in {count} files; with dim={hidden} they fit no "
            "way of splitting that is known",
            where=str(self._config_path),
            fix="is params.json of this model, and are all consolidated files there?",
        )

    def _all_heads(self, name: str, rows: int) -> bool:
        """Whether the shards of a query weight form the whole: not if the last file is missing."""
        params = self.config()
        heads = params.get("n_heads")
        if "attention.wq" not in name or not heads:
            return True
        head_dim = params.get("head_dim") or params["dim"] // heads
        return bool(rows * len(self.files) == heads * head_dim)

    def _shape(self, name: str) -> tuple[int, ...]:
        shape, dim = list(self._pieces[name][0].shape), self._dims[name]
        if dim is not None:
            shape[dim] *= len(self.files)
        return tuple(shape)

    def _read(self, name: str) -> Tensor:
        pieces, dim = self._pieces[name], self._dims[name]
        first = read_span(pieces[0])
        if len(pieces) == 1:
            return first
        if dim is None:
            for span in pieces[1:]:
                if not torch.equal(first, read_span(span)):
                    raise CheckpointError(
                        f"'{name}' differs between files that should hold the same",
                        where=str(span.path),
                        fix="the files are of different models: fetch them again",
                    )
            return first
        # Copied shard by shard: torch.cat would hold all shards and the result at once.
        whole = torch.empty(self._shape(name), dtype=first.dtype)
        width = first.shape[dim]
        whole.narrow(dim, 0, width).copy_(first)
        del first
        for rank, span in enumerate(pieces[1:], start=1):
            whole.narrow(dim, rank * width, width).copy_(read_span(span))
        return whole


def _consolidated(folder: Path) -> list[Path]:
    """All files of a folder, in rank order.

    Raises:
        CheckpointError: a rank is missing.
    """
    ranks = {int(m[1]): p for p in folder.iterdir() if (m := _SHARD.fullmatch(p.name))}
    for rank in range(max(ranks, default=-1) + 1):
        if rank not in ranks:
            raise CheckpointError(
                f"consolidated.{rank:02d}.pth is missing; the last one is {ranks[max(ranks)].name}",
                where=str(folder),
                fix="fetch it: each file holds a part of every matrix",
            )
    return [ranks[rank] for rank in sorted(ranks)]


def open_meta(path: Path, config_path: Path | None) -> Checkpoint:
    if path.is_dir() or _SHARD.fullmatch(path.name):
        return MetaCheckpoint(_consolidated(path if path.is_dir() else path.parent), config_path)
    return MetaCheckpoint([path], config_path)


def fits(path: Path) -> bool:
    if path.is_dir():
        return any(_SHARD.fullmatch(p.name) for p in path.iterdir())
    return path.suffix in (".pth", ".pt")


READER = Reader("consolidated.00.pth or any .pth", fits, open_meta)
