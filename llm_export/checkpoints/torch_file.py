"""Meta's checkpoints: ``consolidated.00.pth`` with ``params.json``. Never unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import TokenizerAssets, require_file
from llm_export.checkpoints.folder_tokenizer import read_tokenizer
from llm_export.checkpoints.safetensors import read_json
from llm_export.errors import CheckpointError


class TorchCheckpoint:
    """A .pth file with Meta's tensor names; the folder also holds the tokenizer."""

    naming = "meta"
    format = "torch"

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.path = require_file(path, "the weights file")
        self.files: tuple[Path, ...] = (path,)
        self._config_path = config_path or path.parent / "params.json"

    @cached_property
    def _state(self) -> dict[str, Tensor]:
        try:
            state = torch.load(self.path, map_location="cpu", mmap=True, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(
                f"not a whole, safe torch file: {str(error).splitlines()[0]}",
                where=str(self.path),
                fix="only tensors are loaded (weights_only=True); fetch or save it again",
            ) from None
        return {k: v for k, v in state.items() if isinstance(v, Tensor)}

    def config(self) -> Mapping[str, Any]:
        return read_json(require_file(self._config_path, "the model's params.json"))

    def names(self) -> list[str]:
        return list(self._state)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._state.items()

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.path.parent)
