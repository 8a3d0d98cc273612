"""torchtune's own checkpoints: one file of tensors with torchtune's names.

Written by ``FullModelTorchTuneCheckpointer``: ``epoch_N/model-00001-of-00001.bin`` by 0.6,
``torchtune_model_N.pt`` before (N is the epoch). Before 0.5, ``FullModelHFCheckpointer`` wrote
``hf_model_SHARD_N.pt`` with Hugging Face names; later versions write Hugging Face folders, which
need no separate reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import Reader, TensorInfo
from llm_export.checkpoints.spans import dtype_name
from llm_export.checkpoints.torchtune_names import Converter, converter
from llm_export.checkpoints.torchtune_storage import is_flat_file, read_header, read_tensors
from llm_export.errors import CheckpointError
from llm_export.files import read_json
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.folder import read_tokenizer

_PATTERNS = ("torchtune_model_*", "model-*-of-*")
_HF_SHARD = re.compile(r"hf_model_(?P<shard>\d+)_(?P<epoch>\d+)\.(pt|safetensors)")
_HF_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)  # fmt: skip


class _Beside:
    """Files in the folder of the weights: the model's config and its tokenizer."""

    naming = "hf"
    format = "torchtune"

    def __init__(self, files: tuple[Path, ...], config_path: Path | None) -> None:
        self.files = files
        self._config_path = config_path or files[0].parent / "config.json"

    @cached_property
    def _config(self) -> dict[str, Any]:
        if not self._config_path.is_file():
            raise CheckpointError(
                "a torchtune checkpoint needs the model's Hugging Face config",
                where=str(self._config_path),
                fix="copy the base model's config.json beside it, or checkpoint.config_path=FILE",
            )
        return read_json(self._config_path)

    def config(self) -> Mapping[str, Any]:
        return self._config

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.files[0].parent)


class TorchtuneCheckpoint(_Beside):
    """Presents a torchtune checkpoint under Hugging Face names, converted while it is streamed.

    So every family's Hugging Face key map applies and none needs one for torchtune.
    ``native_names`` and ``native_tensors`` return torchtune's own names, for torchtune's models.
    """

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        super().__init__((path,), config_path)
        self.path = path

    @cached_property
    def _header(self) -> dict[str, Tensor]:
        return read_header(self.path)

    @cached_property
    def _converter(self) -> Converter:
        return converter(str(self._config.get("model_type")), str(self._config_path))

    def names(self) -> list[str]:
        # Meta tensors suffice to find the names that the conversion produces.
        return [
            name
            for portion in self._converter.groups(self._header)
            for name in self._converter.to_hf({n: self._header[n] for n in portion}, self._config)
        ]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        stored = read_tensors(self.path)
        for portion in self._converter.groups(self._header):
            tensors = {name: stored[name] for name in portion}
            yield from self._converter.to_hf(tensors, self._config).items()

    def infos(self) -> Mapping[str, TensorInfo]:
        found: dict[str, TensorInfo] = {}
        for portion in self._converter.groups(self._header):
            tensors = {name: self._header[name] for name in portion}
            found |= _infos(self._converter.to_hf(tensors, self._config))
        return found

    def native_names(self) -> list[str]:
        return list(self._header)

    def native_headers(self) -> Iterator[tuple[str, Tensor]]:
        """As ``native_tensors``, on the meta device."""
        yield from self._header.items()

    def native_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from read_tensors(self.path).items()


class HfShards(_Beside):
    """``hf_model_0001_N.pt``, ``hf_model_0002_N.pt``, ...: all files of one epoch."""

    @cached_property
    def _headers(self) -> dict[Path, dict[str, Tensor]]:
        return {path: read_header(path) for path in self.files}

    def names(self) -> list[str]:
        return [name for names in self._headers.values() for name in names]

    def infos(self) -> Mapping[str, TensorInfo]:
        return {k: v for header in self._headers.values() for k, v in _infos(header).items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for path in self.files:
            yield from read_tensors(path).items()


def _infos(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(tuple(t.shape), dtype_name(t.dtype)) for name, t in tensors.items()}


def fits(path: Path) -> bool:
    """Whether ``path``, a file or folder, is a full torchtune checkpoint. Reads only headers.

    Raises:
        CheckpointError: a folder contains several.
    """
    return bool(_files_of(path))


def open_torchtune(path: Path, config_path: Path | None) -> TorchtuneCheckpoint | HfShards:
    """Open a checkpoint that ``fits`` accepts: a folder's only one, or the one containing
    ``path``.
    """
    files = _files_of(path)
    if _HF_SHARD.fullmatch(files[0].name):
        return HfShards(files, config_path)
    return TorchtuneCheckpoint(files[0], config_path)


def _files_of(path: Path) -> tuple[Path, ...]:
    """The files of the one checkpoint that ``path`` is or contains; empty if there is none.

    A folder with Hugging Face weights is treated as a Hugging Face folder, because torchtune
    before 0.5 wrote into the base model's folder. To open the torchtune checkpoint, name its file.
    """
    if not path.is_dir():
        shard = _HF_SHARD.fullmatch(path.name)
        if shard:
            return _checkpoints(path.parent).get(f"hf_model_*_{shard['epoch']}", ())
        return (path,) if _holds_torchtune(path) else ()
    if any((path / name).is_file() for name in _HF_WEIGHTS):
        return ()
    found = _checkpoints(path)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise CheckpointError(
            f"torchtune wrote several checkpoints here: {', '.join(found)}",
            where=str(path),
            fix=f"name the one that you mean: checkpoint.path={list(found.values())[-1][0]}",
        )
    epochs = [sub for sub in sorted(path.glob("epoch_*")) if _checkpoints(sub)]
    if epochs:
        raise CheckpointError(
            f"torchtune wrote its checkpoints in folders: {', '.join(e.name for e in epochs)}",
            where=str(path),
            fix=f"name the one that you mean: checkpoint.path={epochs[-1]}",
        )
    return ()


def _checkpoints(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Name -> files of each torchtune checkpoint in a folder."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(p for pattern in _PATTERNS for p in folder.glob(pattern)):
        if _holds_torchtune(path):
            found[path.name] = (path,)
    for path in sorted(folder.glob("hf_model_*")):
        shard = _HF_SHARD.fullmatch(path.name)
        if shard:
            key = f"hf_model_*_{shard['epoch']}"
            found[key] = (*found.get(key, ()), path)
    return found


def _holds_torchtune(path: Path) -> bool:
    if not is_flat_file(path):
        return False
    try:
        names = read_header(path)
    except CheckpointError:
        return False  # the reader that opens it then reports the error
    return "tok_embeddings.weight" in names and any(".attn.q_proj." in name for name in names)


READER = Reader("torchtune's epoch_N folder or torchtune_model_N.pt", fits, open_torchtune)
