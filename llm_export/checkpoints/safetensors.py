"""Hugging Face folders and files: safetensors, single or sharded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import TokenizerAssets, require_file
from llm_export.checkpoints.folder_tokenizer import read_tokenizer
from llm_export.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class SafetensorsCheckpoint:
    """``path`` is a .safetensors file, its index, or the folder that holds them."""

    naming = "hf"
    format = "safetensors"

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.folder = path if path.is_dir() else path.parent
        self._config_path = config_path or self.folder / "config.json"
        self._shard_of: dict[str, Path] = {}
        if path.is_file() and path.suffix == ".safetensors":
            self._add_file(path)
        elif (self.folder / INDEX).is_file():
            self._add_index(self.folder / INDEX)
        else:
            self._add_file(require_file(self.folder / SINGLE, "the weights file"))
        self.files = tuple(dict.fromkeys(self._shard_of.values()))

    def config(self) -> Mapping[str, Any]:
        return read_json(require_file(self._config_path, "the model config"))

    def names(self) -> list[str]:
        return list(self._shard_of)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for path in self.files:
            with _opened(path) as shard:
                for name in shard.keys():  # noqa: SIM118  (safe_open is no mapping)
                    if self._shard_of.get(name) == path:
                        yield name, shard.get_tensor(name)

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.folder)

    def _add_file(self, path: Path) -> None:
        with _opened(path) as shard:
            for name in shard.keys():  # noqa: SIM118
                self._shard_of[name] = path

    def _add_index(self, index: Path) -> None:
        table = read_json(index).get("weight_map")
        if not isinstance(table, dict):
            raise CheckpointError("the index has no weight_map", where=str(index))
        present: dict[str, set[str]] = {}
        for name, file in table.items():
            if Path(file).name != file:
                raise CheckpointError(f"the index names a file outside: {file}", where=str(index))
            path = require_file(self.folder / file, "a shard that the index names")
            if file not in present:
                with _opened(path) as shard:
                    present[file] = set(shard.keys())
            if name not in present[file]:
                raise CheckpointError(
                    f"the index says that {file} holds '{name}'; it does not", where=str(index)
                )
            self._shard_of[name] = path


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(require_file(path, "the weights file"), framework="pt")
    except SafetensorError as error:
        raise CheckpointError(
            f"not a whole safetensors file: {error}", where=str(path), fix="fetch it again"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; CheckpointError if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"not valid JSON: {error}", where=str(path)) from None
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON object", where=str(path))
    return value
