"""Flat files of tensors as torchtune's recipes write them: ``.pt``, ``.bin``, ``.safetensors``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import require_file
from llm_export.errors import CheckpointError

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


def read_header(path: Path) -> dict[str, Tensor]:
    """Name -> a tensor on meta, without reading values. Entries that are no tensors are left out.

    Raises:
        CheckpointError: missing, damaged, or holding more than tensors and plain values.
    """
    if path.suffix == ".safetensors":
        with _safetensors(path) as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return _torch_load(path, map_location="meta")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Callable[[str], Tensor]]:
    """A function from a name to its tensor, memory-mapped and private to the caller.

    Raises:
        CheckpointError: as ``read_header``.
    """
    if path.suffix == ".safetensors":
        with _safetensors(path) as file:
            yield file.get_tensor
    else:
        yield _torch_load(path, map_location="cpu", mmap=True).__getitem__


def is_flat_file(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()


def _torch_load(path: Path, **how: Any) -> dict[str, Tensor]:
    require_file(path, "the weights file")
    try:
        state = torch.load(path, weights_only=True, **how)
    except Exception as error:  # OSError, RuntimeError, UnpicklingError, EOFError, KeyError, ...
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"not a whole, safe torch file: {reason}",
            where=str(path),
            fix="only tensors are loaded (weights_only=True); fetch or save it again",
        ) from None
    items = state.items() if isinstance(state, dict) else ()
    return {str(k): v for k, v in items if isinstance(v, Tensor)}


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(require_file(path, "the weights file"), framework="pt")
    except SafetensorError as error:
        raise CheckpointError(
            f"not a whole safetensors file: {error}", where=str(path), fix="fetch it again"
        ) from None
