"""The safetensors format: a JSON header with the offset of each tensor.

https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from llm_export.checkpoints.base import Reader
from llm_export.checkpoints.shards import Layout, ShardedCheckpoint, layout_fits
from llm_export.checkpoints.spans import Span
from llm_export.errors import CheckpointError
from llm_export.files import require_file

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def read_header(path: Path) -> tuple[dict[str, Span], dict[str, str]]:
    """(tensors, metadata) of a file; the safetensors library has checked that it is complete.

    Raises:
        CheckpointError: missing, truncated, damaged, or with an element type unknown here.
    """
    from safetensors import SafetensorError, safe_open

    require_file(path, "the weights file")
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise CheckpointError(
            f"not a whole safetensors file: {error}", where=str(path), fix="fetch it again"
        ) from None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    spans = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(
                f"tensor '{name}' has the element type {entry['dtype']}, which is not read",
                where=str(path),
                fix=f"types that are: {', '.join(_DTYPES)}",
            )
        begin = 8 + length + entry["data_offsets"][0]
        spans[name] = Span(path, begin, _DTYPES[entry["dtype"]], tuple(entry["shape"]))
    return spans, metadata


LAYOUT = Layout(
    format="safetensors",
    suffix=".safetensors",
    single="model.safetensors",
    index="model.safetensors.index.json",
    spans=lambda path: read_header(path)[0],
)


class SafetensorsCheckpoint(ShardedCheckpoint):
    """``path`` is a .safetensors file, its index, or the folder that holds them."""

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        super().__init__(LAYOUT, path, config_path)


READER = Reader(
    "model.safetensors, its index, or any .safetensors",
    lambda path: layout_fits(LAYOUT, path),
    SafetensorsCheckpoint,
)
