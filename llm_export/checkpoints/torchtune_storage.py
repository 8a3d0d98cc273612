"""Flat files of tensors as torchtune's recipes write them: ``.pt``, ``.bin``, ``.safetensors``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from llm_export.checkpoints.weights_file import lazy_tensors, read_spans

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")

read_tensors = lazy_tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """Name -> a meta tensor, without reading values. Entries that are not tensors are skipped.

    Raises:
        CheckpointError: missing, damaged, or holding more than tensors and plain values.
    """
    spans = read_spans(path)
    return {
        name: torch.empty(span.shape, dtype=span.dtype, device="meta")
        for name, span in spans.items()
    }


def is_flat_file(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()
