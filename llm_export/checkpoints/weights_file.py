"""Read one weights file; its suffix selects the format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from llm_export.checkpoints.safetensors import read_header
from llm_export.checkpoints.spans import ReadOnAccess, Span, read_span
from llm_export.checkpoints.torch_file import read_torch_header


def read_spans(path: Path) -> dict[str, Span]:
    """Name -> location of its tensor, in a .safetensors or ``torch.save`` file.

    Raises:
        CheckpointError: missing or damaged.
    """
    return read_header(path)[0] if path.suffix == ".safetensors" else read_torch_header(path)


def lazy_tensors(path: Path) -> Mapping[str, Tensor]:
    """Name -> tensor, read on each access and not cached."""
    return ReadOnAccess({name: partial(read_span, span) for name, span in read_spans(path).items()})
