"""torchtune's own checkpoints: one file of tensors under torchtune's names.

Written by ``FullModelTorchTuneCheckpointer``: ``epoch_N/model-00001-of-00001.bin`` by 0.6,
``torchtune_model_N.pt`` before (N is the epoch). ``FullModelHFCheckpointer`` writes Hugging
Face folders, which need no reader of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import TokenizerAssets, require_file
from llm_export.checkpoints.hf_tokenizer import read_hf_tokenizer
from llm_export.checkpoints.safetensors import SafetensorsCheckpoint, read_json
from llm_export.checkpoints.torch_file import TorchCheckpoint
from llm_export.checkpoints.torchtune_names import Converter, converter
from llm_export.errors import CheckpointError

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
_PATTERNS = ("torchtune_model_*", "model-*-of-*")
_HF_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)  # fmt: skip


class TorchtuneCheckpoint:
    """Presents a torchtune checkpoint under Hugging Face's names, converting as it streams.

    So every family's Hugging Face key map applies, and none needs one for torchtune.
    ``native_names`` and ``native_tensors`` give torchtune's own, for torchtune's own models.
    """

    naming = "hf"
    format = "torchtune"

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        self.path = (weights_in(path) or path) if path.is_dir() else path
        self.files: tuple[Path, ...] = (self.path,)
        self._config_path = config_path or self.path.parent / "config.json"

    @cached_property
    def _state(self) -> dict[str, Tensor]:
        return read_state(self.path)

    @cached_property
    def _config(self) -> dict[str, Any]:
        if not self._config_path.is_file():
            raise CheckpointError(
                "a torchtune checkpoint needs the model's Hugging Face config",
                where=str(self._config_path),
                fix="copy the base model's config.json beside it, or checkpoint.config_path=FILE",
            )
        return read_json(require_file(self._config_path, "the model config"))

    @cached_property
    def _converter(self) -> Converter:
        return converter(str(self._config.get("model_type")), str(self._config_path))

    def config(self) -> Mapping[str, Any]:
        return self._config

    def names(self) -> list[str]:
        # Shapes without values are enough to learn what the conversion calls them.
        shadow = {k: torch.empty(v.shape, device="meta") for k, v in self._state.items()}
        return [name for name, _ in self._converted(shadow)]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._converted(self._state)

    def native_names(self) -> list[str]:
        return list(self._state)

    def native_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._state.items()

    def tokenizer(self) -> TokenizerAssets:
        return read_hf_tokenizer(self.path.parent)

    def _converted(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for portion in self._converter.groups(state):
            yield from self._converter.to_hf(
                {name: state[name] for name in portion}, self._config
            ).items()


def fits(path: Path) -> bool:
    """Whether ``path``, a file or folder, is a full torchtune checkpoint. Reads only names.

    Raises:
        CheckpointError: a folder holds several.
    """
    return weights_in(path) is not None if path.is_dir() else _holds_torchtune(path)


def weights_in(folder: Path) -> Path | None:
    """The one torchtune weights file of a folder, or None if it holds none.

    A folder with Hugging Face weights is theirs: torchtune before 0.5 wrote into the folder
    of the base model. Name the file to get it.

    Raises:
        CheckpointError: there are several (epochs); which one is meant must be said.
    """
    if any((folder / name).is_file() for name in _HF_WEIGHTS):
        return None
    found = _torchtune_files(folder)
    if not found:
        found = [f.parent for sub in sorted(folder.glob("epoch_*")) for f in _torchtune_files(sub)]
        if not found:
            return None
    elif len(found) == 1:
        return found[0]
    raise CheckpointError(
        f"torchtune wrote several checkpoints here: {', '.join(p.name for p in found)}"
        if len(found) > 1
        else f"this is torchtune's output folder; the checkpoint is in {found[0].name}",
        where=str(folder),
        fix=f"name the one that you mean: checkpoint.path={found[-1]}",
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors of one file, memory-mapped.

    Raises:
        CheckpointError: damaged, or not only tensors.
    """
    require_file(path, "the weights file")
    if path.suffix == ".safetensors":
        return dict(SafetensorsCheckpoint(path).tensors())
    return dict(TorchCheckpoint(path).tensors())


def _torchtune_files(folder: Path) -> list[Path]:
    files = {p for pattern in _PATTERNS for p in folder.glob(pattern)}
    return [p for p in sorted(files) if _holds_torchtune(p)]


def _holds_torchtune(path: Path) -> bool:
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    try:
        reader = SafetensorsCheckpoint if path.suffix == ".safetensors" else TorchCheckpoint
        names = reader(path).names()
    except CheckpointError:
        return False  # the reader that takes it then says what is wrong with it
    return "tok_embeddings.weight" in names and any(".attn.q_proj." in name for name in names)
