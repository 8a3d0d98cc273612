"""A torch module's own buffers and parameters, and the origin of a tensor's memory.

``register_buffer`` and ``named_buffers`` cannot remove buffers temporarily, or change a buffer
during iteration. Written for torch 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def own_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The buffers of a module itself, by name; changes are the module's."""
    return module._buffers


def own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor | None]]:
    """Parameters and buffers of a module itself, by name."""
    yield from (*module._parameters.items(), *module._buffers.items())


def is_view(tensor: Tensor) -> bool:
    """Whether a tensor is a view of another one's memory."""
    return tensor._base is not None


def file_offset(tensor: Any) -> int:
    """Bytes from the start of a file of ``torch.save`` to the storage of a tensor that was loaded
    from it with ``map_location="meta"``."""
    return int(tensor.untyped_storage()._checkpoint_offset)
