"""Programs do not lock their constants in memory."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import pytest

from runtime_py import LLM
from runtime_py.paging import locked, pages_on_demand, unlock

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
SIZE = 64 * mmap.PAGESIZE


def mapped(path: Path) -> mmap.mmap:
    path.write_bytes(b"x" * SIZE)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def lock(data: mmap.mmap) -> int:
    place = ctypes.addressof(ctypes.c_char.from_buffer(data))
    return ctypes.CDLL(None).mlock(ctypes.c_void_p(place), ctypes.c_size_t(SIZE))


def test_locked_pages_of_a_file_are_given_back_and_read_again(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    data, rest = mapped(path), mapped(other)
    before = locked()
    assert lock(data) == lock(rest) == 0
    assert locked() == before + 2 * SIZE
    assert unlock([path]) == SIZE
    assert locked() == before + SIZE, "of the other file nothing is unlocked"
    assert data[:] == b"x" * SIZE
    unlock([other])


def test_nothing_that_is_mapped_within_stays_locked(tmp_path: Path) -> None:
    path, before = tmp_path / "a", locked()
    with pages_on_demand([path]):
        data = mapped(path)
        lock(data)
    assert locked() == before
    assert data[:1] == b"x"


def test_a_failure_within_restores_the_limit(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with pytest.raises(KeyError), pages_on_demand([]):
        raise KeyError
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before


def test_a_loaded_program_has_locked_nothing(quantized_bundle: Path) -> None:
    before = locked()
    with LLM.load(quantized_bundle) as llm:
        assert locked() == before
        assert llm.generate("a", max_new_tokens=2).tokens
        assert locked() == before


def test_a_privileged_process_locks_nothing_either(tmp_path: Path) -> None:
    """What was locked would have to be paged out, and a first step would read it from the disk."""
    path, before = tmp_path / "a", locked()
    capabilities = [line for line in _status() if line.startswith("CapEff:")]
    with pages_on_demand([path]):
        data = mapped(path)
        assert lock(data) == -1
        assert locked() == before
    assert [line for line in _status() if line.startswith("CapEff:")] == capabilities
    if int(capabilities[0].split()[1], 16) >> 14 & 1:
        assert lock(data) == 0, "outside it may again"
        unlock([path])


def _status() -> list[str]:
    return Path("/proc/thread-self/status").read_text().splitlines()
