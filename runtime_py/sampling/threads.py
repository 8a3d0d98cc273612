"""Sampling with one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one of torch's threads in the block. The operations on a vector of logits take less than
    a millisecond, and where the cores are busy, threads wait for one another for a hundred times as
    long.

    torch keeps the number for threads that are yet to begin too: of two blocks at once, the second
    would take the first one's for the number to restore. So one waits for the other."""
    with _alone:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


_alone = threading.RLock()
