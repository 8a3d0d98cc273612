"""Memory of zeros is resident only where it has been written."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runtime_py import LLM
from runtime_py.zero_pages import release_zero_pages, zeros

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="MADV_DONTNEED zeroes pages on Linux only"
)
PAGES = 128
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


@pytest.fixture
def block() -> Iterator[Tensor]:
    """Zeros that were written to a block of malloc's, as those of ``std::vector`` are. It is larger
    than what malloc ever takes from its heap (M_MMAP_THRESHOLD_MAX)."""
    libc, size = ctypes.CDLL(None), 40_000_000
    libc.malloc.restype = ctypes.c_void_p
    place = libc.malloc(ctypes.c_size_t(size))
    ctypes.memset(place, 0, size)
    yield torch.frombuffer((ctypes.c_char * size).from_address(place), dtype=torch.float32)
    libc.free(ctypes.c_void_p(place))


def test_the_block_that_a_tensor_lies_in_is_given_back(block: Tensor) -> None:
    inner = block[5_000_000:5_000_100]
    assert resident(block) > 9_000
    assert release_zero_pages([inner]) > 39_000_000
    assert resident(block) == 0
    assert release_zero_pages([inner, block[:5]]) == 0, "not resident: not counted"
    assert block.count_nonzero() == 0


def test_what_is_not_zero_is_kept(block: Tensor) -> None:
    block[7_000_000] = -0.0  # whose bits are not all zero
    inner = block[5_000_000:5_000_100]
    assert 39_000_000 < release_zero_pages([inner]) < 40_000_000 - (1 << 18)
    assert 0 < resident(block) <= 64
    assert torch.signbit(block[7_000_000])
    block.fill_(1)
    zero = block[5_000_000:6_000_000]
    zero.fill_(0)
    # No zeros lead to the start of the block any more: of it no more is known than the tensor.
    assert 3_900_000 < release_zero_pages([zero]) <= 4_000_000
    assert resident(zero) == 0
    assert block.sum() == 9_000_000
    zero[7] = 2
    assert block.sum() == 9_000_002


def test_of_other_memory_nothing_is_given_back(block: Tensor) -> None:
    assert release_zero_pages([torch.zeros(9), torch.zeros(0), block[:64].view(2, -1).T]) == 0


@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_a_mapped_file_is_left_alone(flags: int, tmp_path: Path) -> None:
    """Pages of a private mapping that were written would become those of the file again."""
    (tmp_path / "file").write_bytes(b"\1" * (4 * COUNT))
    with (tmp_path / "file").open("r+b") as file:
        mapped = torch.frombuffer(mmap.mmap(file.fileno(), 0, flags=flags), dtype=torch.int32)
    mapped.zero_()
    assert release_zero_pages([mapped, mapped[COUNT // 2 :]]) == 0
    assert not mapped.count_nonzero()


def test_of_a_loaded_programs_caches_what_a_text_fills_is_resident(quantized_bundle: Path) -> None:
    with LLM.load(quantized_bundle) as llm:
        assert llm.program._state is not None
        caches = llm.program._state._memory()
        assert sum(cache.nbytes for cache in caches) > 1 << 20
        assert sum(map(resident, caches)) == 0
        llm.generate("a", max_new_tokens=2)
        # Of each KV head the first positions, which may lie across a boundary of pages.
        heads = sum(cache.shape[0] for cache in caches)
        assert heads == 8
        assert 0 < sum(map(resident, caches)) <= 2 * heads
