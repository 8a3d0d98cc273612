"""Hugging Face folders of any format: one weights file, or shards with an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import TensorInfo
from llm_export.checkpoints.spans import Span, in_reading_order, read_span
from llm_export.checkpoints.tied import HEAD, has_own_head
from llm_export.errors import CheckpointError, excerpt
from llm_export.files import read_json, require_file
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.folder import read_tokenizer

TIED = "tie_word_embeddings"
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Layout:
    """The properties in which the formats of Hugging Face folders differ.

    Attributes:
        single, index: file names inside a folder.
        spans: reads the header of one file.
    """

    format: str
    suffix: str
    single: str
    index: str
    spans: Callable[[Path], dict[str, Span]]


def layout_fits(layout: Layout, path: Path) -> bool:
    """Whether ``path`` is a weights file of the layout, its index, or a folder with either."""
    if path.is_dir():
        return any((path / name).is_file() for name in (layout.single, layout.index))
    return path.suffix == layout.suffix or path.name.endswith(f"{layout.suffix}.index.json")


def weight_files(layout: Layout, path: Path) -> list[Path]:
    """All weight files of a file, index or folder, without reading them.

    Raises:
        CheckpointError: the index is damaged, or names files that are missing or outside.
    """
    if path.is_file() and path.suffix == layout.suffix:
        return [path]
    index = _index_of(layout, path)
    if index is None:
        return [require_file(path / layout.single, "the weights file")]
    return list(dict.fromkeys(index.parent / file for file in _weight_map(index).values()))


def _index_of(layout: Layout, path: Path) -> Path | None:
    """The index that lists the shards; None if one file holds all tensors. Of a folder with both,
    the one file is taken, as transformers does.
    """
    if path.is_file():
        return None if path.suffix == layout.suffix else path
    index = path / layout.index
    return index if index.is_file() and not (path / layout.single).is_file() else None


class ShardedCheckpoint:
    """``path`` is a weights file, an index, or the folder that holds them."""

    naming = "hf"

    def __init__(self, layout: Layout, path: Path, config_path: Path | None = None) -> None:
        self.format = layout.format
        self.folder = path if path.is_dir() else path.parent
        self._layout = layout
        self._config_path = config_path or self.folder / "config.json"
        self.files = tuple(weight_files(layout, path))
        present = {file: layout.spans(file) for file in self.files}
        self.spans = {name: span for spans in present.values() for name, span in spans.items()}
        index = _index_of(layout, path)
        if index is not None:
            _require_as_indexed(index, present)

    def config(self) -> Mapping[str, Any]:
        """config.json; but not tied where the weights file holds another output head."""
        raw = self._raw_config()
        return {**raw, TIED: False} if self._own_head else raw

    def remarks(self) -> tuple[str, ...]:
        """What config() and files leave out of what the folder says."""
        raw = self._raw_config() if self._config_path.is_file() else {}
        said = []
        if self._own_head and raw.get(TIED, True):
            said.append(
                f"not tied: {HEAD} of {self.files[0].name} differs from the embedding, whatever "
                f"{TIED} of {self._config_path.name} says"
            )
        if raw.get("rope_scaling") and raw.get("rope_parameters"):
            said.append(
                f"rope_scaling of {self._config_path.name} takes the place of its rope_parameters"
            )
        single, index = self.folder / self._layout.single, self.folder / self._layout.index
        if self.files == (single,) and index.is_file():
            said.append(f"{single.name} is read, and not the shards of {index.name}")
        return tuple(said)

    def _raw_config(self) -> dict[str, Any]:
        return read_json(require_file(self._config_path, "the model config"))

    @cached_property
    def _own_head(self) -> bool:
        return has_own_head(self.names(), self.spans)

    def names(self) -> list[str]:
        return list(self.spans)

    def infos(self) -> Mapping[str, TensorInfo]:
        return {name: span.info for name, span in self.spans.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, span in in_reading_order(self.spans):
            yield name, read_span(span)

    def tokenizer(self) -> TokenizerAssets:
        return read_tokenizer(self.folder)


def _weight_map(index: Path) -> dict[str, str]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError("the index has no weight_map", where=str(index))
    for file in dict.fromkeys(f if isinstance(f, str) else str(f) for f in table.values()):
        if Path(file).name != file or "\0" in file or len(file) > _LONGEST_NAME:
            raise CheckpointError(
                f"the index names a file outside: {excerpt(file)}", where=str(index)
            )
        require_file(index.parent / file, "a shard that the index names")
    return table


def _require_as_indexed(index: Path, present: Mapping[Path, Mapping[str, Span]]) -> None:
    """Check that every tensor is in the shard that the index names, and that there are no
    others.
    """
    table = _weight_map(index)
    for name, file in table.items():
        if name not in present[index.parent / file]:
            raise CheckpointError(
                f"the index says that {file} holds '{name}'; it does not", where=str(index)
            )
    for path, spans in present.items():
        for name in spans:
            if table.get(name) != path.name:
                raise CheckpointError(
                    f"{path.name} holds '{name}', which the index does not say", where=str(index)
                )
