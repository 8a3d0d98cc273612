"""NumPy's .npz: tensors under their Hugging Face names, with config.json and tokenizer beside.

``numpy.savez("model.npz", **{name: array})`` writes one. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llm_export.checkpoints.base import Reader, TensorInfo
from llm_export.errors import CheckpointError
from llm_export.files import read_json, require_file
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.folder import read_tokenizer

_TYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Element types that NumPy and torch share."""


class NpzCheckpoint:
    """One .npz file; arrays are read one at a time.

    Raises:
        CheckpointError: it is damaged, holds what is not an array, or an unknown element type.
    """

    naming = "hf"
    format = "npz"

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.path = require_file(path, "the weights file")
        self.files = (path,)
        self._config_path = config_path or path.parent / "config.json"
        self._infos = _headers(path)

    def config(self) -> Mapping[str, Any]:
        return read_json(require_file(self._config_path, "the model config"))

    def names(self) -> list[str]:
        return list(self._infos)

    def infos(self) -> Mapping[str, TensorInfo]:
        return self._infos

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                for name in self._infos:
                    yield name, torch.from_numpy(arrays[name])
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise _damaged(self.path, error) from None

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.path.parent)


def _headers(path: Path) -> dict[str, TensorInfo]:
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                    shape, _, dtype = read(file)
                if dtype.name not in _TYPES:
                    raise CheckpointError(
                        f"tensor '{name}' has the element type {dtype}, which is not read",
                        where=str(path),
                        fix=f"types that are: {', '.join(_TYPES)}",
                    )
                found[name] = TensorInfo(tuple(shape), dtype.name)
    except (zipfile.BadZipFile, ValueError, AttributeError, EOFError) as error:
        raise _damaged(path, error) from None
    return found


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"not a whole .npz file: {error}", where=str(path), fix="write it again")


def fits(path: Path) -> bool:
    """A .npz file, or a folder with exactly one."""
    return path.suffix == ".npz" if path.is_file() else len(list(path.glob("*.npz"))) == 1


def open_npz(path: Path, config_path: Path | None) -> NpzCheckpoint:
    return NpzCheckpoint(path if path.is_file() else next(path.glob("*.npz")), config_path)


READER = Reader(".npz", fits, open_npz)
