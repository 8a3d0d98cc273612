"""ExecuTorch's files of tensors (.ptd): written without a program, and read.

Its public path writes one beside a program, of that program's weights. An adapter's file is written
later, for a program that is there already. Written for executorch 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ALIGNMENT = 16  # bytes, as XNNPACK wants its constants


@dataclass(frozen=True)
class Entry:
    """What a file holds under a key.

    Attributes:
        buffer: index of its bytes.
        like: a tensor of its shape and dtype, if a kernel reads it; None if a delegate does.
    """

    buffer: int
    like: Tensor | None


def write_tensor_file(file: IO[bytes], buffers: list[bytes], entries: Mapping[str, Entry]) -> None:
    """Write a file of tensors by key; several keys may share a buffer."""
    from executorch.exir._serialize.data_serializer import DataEntry, DataPayload
    from executorch.exir.tensor_layout import TensorLayout
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    named = {
        key: DataEntry(
            entry.buffer,
            ALIGNMENT,
            None if entry.like is None else TensorLayout.from_tensor(entry.like),
        )
        for key, entry in entries.items()
    }
    data = FlatTensorSerializer().serialize(DataPayload(buffers, named))
    data.write_to_file(file)


def read_tensor_file(data: bytes) -> dict[str, tuple[bytes, bool]]:
    """Key -> (bytes, whether it is a tensor) of a file."""
    from executorch.exir._serialize._cord import Cord
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    payload = FlatTensorSerializer().deserialize(Cord(data))
    return {
        key: (bytes(payload.buffers[entry.buffer_index]), entry.tensor_layout is not None)
        for key, entry in payload.named_data.items()
    }
