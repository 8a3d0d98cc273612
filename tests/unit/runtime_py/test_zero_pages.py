"""Memory of zeros is resident only where it has been written."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runtime_py import LLM
from runtime_py.zero_pages import give_back_zeros, zeros

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux")
PAGES = 32
COUNT = PAGES * mmap.PAGESIZE // 4


def resident(tensor: Tensor) -> int:
    """Resident pages of those that lie wholly within a tensor."""
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    told = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
    assert not ctypes.CDLL(None).mincore(ctypes.c_void_p(first), ctypes.c_size_t(size), told)
    return sum(each & 1 for each in told)


def test_zeros_are_resident_where_they_were_written() -> None:
    made = zeros((2, COUNT // 2), torch.float32)
    assert made.shape == (2, COUNT // 2)
    assert resident(made) == 0
    made[1, 0] = 1
    assert resident(made) == 1
    assert made.sum() == 1
    assert zeros((2, 3), torch.int8).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_pages_of_zeros_are_given_back_and_others_are_kept() -> None:
    memory = torch.zeros(3 * COUNT)
    # A page at each end belongs to the neighbours too.
    before, between, behind = memory[: COUNT + 5], memory[COUNT + 5 : -COUNT - 5], memory[-COUNT:]
    before.fill_(1)
    behind[COUNT // 2] = -0.0  # whose bits are not all zero
    assert give_back_zeros([before, between, behind]) == resident_bytes(between)
    assert resident(between) == 0
    assert resident(before) >= PAGES - 1
    assert between.count_nonzero() == 0
    assert before.sum() == COUNT + 5
    assert resident(behind) >= PAGES - 1
    assert torch.signbit(behind[COUNT // 2])
    between[7] = 2
    assert between.sum() == 2
    assert give_back_zeros([memory[:COUNT].view(2, -1).T]) == 0, "it is not contiguous"


def resident_bytes(tensor: Tensor) -> int:
    first = -(-tensor.data_ptr() // mmap.PAGESIZE)
    return ((tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE - first) * mmap.PAGESIZE


def test_of_a_loaded_programs_caches_what_a_text_fills_is_resident(quantized_bundle: Path) -> None:
    with LLM.load(quantized_bundle) as llm:
        assert llm.program._state is not None
        caches = llm.program._state._memory()
        assert sum(cache.nbytes for cache in caches) > 1 << 20
        assert sum(map(resident, caches)) == 0
        llm.generate("a", max_new_tokens=2)
        assert 0 < sum(map(resident, caches)) <= 2 * len(caches)
