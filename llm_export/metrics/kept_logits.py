"""Store the logits of one model in a file until they are compared with another model's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor


class KeptLogits:
    """float32 logits [P, V] of text windows, in order of insertion.

    They are in an unlinked temporary file in ``folder``, which disappears with the process. So the
    compared models need not be in memory at the same time.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._shapes: list[torch.Size] = []
        self._starts = [0]

    def __enter__(self) -> KeptLogits:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._shapes)

    def add(self, logits: Tensor) -> None:
        values = logits.detach().float().contiguous()
        self._file.seek(self._starts[-1])
        self._file.write(values.numpy().data.cast("B"))
        self._shapes.append(values.shape)
        self._starts.append(self._file.tell())

    def __getitem__(self, index: int) -> Tensor:
        start, shape = self._starts[index], self._shapes[index]
        values = torch.empty(shape, dtype=torch.float32)
        self._file.seek(start)
        self._file.readinto(values.numpy().data.cast("B"))
        return values
