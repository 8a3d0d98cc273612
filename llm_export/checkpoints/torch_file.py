"""Files of ``torch.save``, located by header and never unpickled.

With ``map_location="meta"`` torch builds the tensors without values and records the file offset of
each storage: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Reader
from llm_export.checkpoints.shards import Layout, ShardedCheckpoint, layout_fits
from llm_export.checkpoints.spans import Span
from llm_export.compat.module_state import file_offset
from llm_export.errors import CheckpointError
from llm_export.files import require_file

_EXPANDED = 64 << 20  # bytes of a tensor that repeats what a smaller file stores


def read_torch_header(path: Path) -> dict[str, Span]:
    """Locations of the tensors of a flat state dict; other entries are skipped.

    Raises:
        CheckpointError: missing, truncated, holding more than tensors and plain values,
            compressed, big-endian, or written before torch 1.6.
    """
    require_file(path, "the weights file")
    archive = zipfile.is_zipfile(path)
    if archive:  # before loading: a compressed pickle may unpack to any size
        _require_plain_archive(path)
    state = _load_on_meta(path)
    if not archive:
        raise CheckpointError(
            "the file has the format of torch before 1.6",
            where=str(path),
            fix="save it anew: torch.save(torch.load(FILE, weights_only=True), FILE)",
        )
    size = path.stat().st_size
    spans = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue
        if type(value) not in (Tensor, nn.Parameter):
            raise CheckpointError(
                f"'{name}' is a {type(value).__name__}, of which a torch file does not say where "
                "its parts lie",
                where=str(path),
                fix="save it as safetensors",
            )
        begin = file_offset(value)
        offset = begin + int(value.storage_offset()) * value.element_size()
        stride = None if value.is_contiguous() else value.stride()
        spans[str(name)] = span = Span(path, offset, value.dtype, tuple(value.shape), stride)
        whole = value.numel() * value.element_size()  # of an expanded tensor more than it stores
        if offset + span.extent * value.element_size() > size or whole > max(size, _EXPANDED):
            raise CheckpointError(
                f"not a whole, safe torch file: '{name}' lies beyond its end", where=str(path)
            )
    if not spans:
        raise CheckpointError(
            "the torch file holds no tensors by name", where=str(path),
            fix="it must be a state dict: name -> tensor, not nested",
        )  # fmt: skip
    return spans


def _load_on_meta(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # OSError, RuntimeError, UnpicklingError, EOFError, KeyError, ...
        raise _not_whole(path, error) from None
    return state if isinstance(state, dict) else {}


def _require_plain_archive(path: Path) -> None:
    """Offsets are valid only in an uncompressed archive of this machine's byte order."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(e.compress_type != zipfile.ZIP_STORED for e in entries)
            order = [e for e in entries if e.filename.endswith("/byteorder")]
            foreign = not packed and order and _head(archive, order[0]) != b"little"
    except Exception as error:  # zipfile raises struct.error, NotImplementedError, ...
        raise _not_whole(path, error) from None
    if packed or foreign:
        raise CheckpointError(
            "the torch file is compressed or big-endian", where=str(path),
            fix="save it anew with torch.save on a little-endian machine",
        )  # fmt: skip


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(len("little") + 1)


def _not_whole(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CheckpointError(
        f"not a whole, safe torch file: {reason}",
        where=str(path),
        fix="only tensors are loaded (weights_only=True); fetch or save it again",
    )


LAYOUT = Layout(
    format="torch",
    suffix=".bin",
    single="pytorch_model.bin",
    index="pytorch_model.bin.index.json",
    spans=read_torch_header,
)


class BinCheckpoint(ShardedCheckpoint):
    """``path`` is a .bin file, its index, or the folder that holds them."""

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        super().__init__(LAYOUT, path, config_path)


READER = Reader(
    "pytorch_model.bin, its index, or any .bin",
    lambda path: layout_fits(LAYOUT, path),
    BinCheckpoint,
)
