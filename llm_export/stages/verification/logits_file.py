"""Logits of one model, kept in a file until another model has its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor


class KeptLogits:
    """float32 logits [P, V] of text windows, by the order in which they were added.

    They lie in a file without a name in ``folder``, which goes with the process. So models that
    are compared need not be in memory at one time.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._shapes: list[torch.Size] = []
        self._starts = [0]

    def __enter__(self) -> KeptLogits:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
