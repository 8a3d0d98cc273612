"""A file whose writes do not fail, for writers in C++ that end the process if they do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast


class _Unfailing:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def unfailing(path: Path) -> Iterator[BinaryIO]:
    """Context manager: a new binary file for ``torch.save`` and ``torch.export.save``.

    torch's archive writer raises from its destructor where the disk is full, which is SIGABRT. Here
    it sees no failure: after one, further data is dropped, and the block ends with the error.

    Raises:
        OSError: on entering or leaving: the file cannot be written.
    """
    with path.open("wb", buffering=0) as file:
        sink = _Unfailing(file)
        yield cast(BinaryIO, sink)
        if sink.error is not None:
            raise sink.error
