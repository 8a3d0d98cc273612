"""Large tensors in files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_export.memory import (
    enable_for,
    is_active,
    memory_mapped,
    memory_mapping,
    release,
    release_grown,
    release_memory,
    released_between,
)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_nothing_is_paged_without_need(tmp_path: Path) -> None:
    tensor = torch.randn(1 << 20)
    assert memory_mapped(tensor) is tensor
    with memory_mapping(tmp_path):
        enable_for(1 << 29)
        assert not is_active()
        assert memory_mapped(tensor) is tensor
        enable_for(1 << 31)
        assert is_active()
        assert memory_mapped(tensor[:8]).data_ptr() == tensor.data_ptr(), (
            "too small to be worth a file"
        )
        assert memory_mapped(tensor).data_ptr() != tensor.data_ptr()
    assert not is_active()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.bfloat16])
def test_values_survive_release(tmp_path: Path, dtype: torch.dtype) -> None:
    wanted = torch.randint(-100, 100, (300, 70)).to(dtype)
    with memory_mapping(tmp_path, above=0, at_least=1):
        enable_for(1)
        made = memory_mapped(wanted.t())
        release()
        release_memory()
        assert torch.equal(made, wanted.t())
        made += 1  # it may be written to
        release()
        assert torch.equal(made, wanted.t() + 1)
    assert torch.equal(made, wanted.t() + 1), "it outlives the context"
    assert not list(tmp_path.iterdir()), "its file has no name"


def test_released_tensors_take_no_memory(tmp_path: Path) -> None:
    size = 1 << 28
    with memory_mapping(tmp_path, above=0):
        enable_for(1)
        made = memory_mapped(torch.ones(size // 4))
        release_memory()
        before = resident()
        assert made.sum() == size // 4
        assert resident() - before > size // 2
        release()
        assert resident() - before < size // 8


def in_a_cycle(count: int) -> weakref.ref[torch.Tensor]:
    """Garbage that only a collection finds."""
    tensor: Any = torch.ones(count)
    tensor.itself = tensor
    return weakref.ref(tensor)


def test_garbage_is_collected_where_it_is_worth_the_time() -> None:
    release_memory(always=True)
    small = in_a_cycle(1)
    release_grown()
    assert small() is not None
    large = in_a_cycle(1 << 25)
    release_grown()
    assert large() is None
    assert small() is None


def test_what_was_freed_is_no_room_for_garbage() -> None:
    held = torch.ones(1 << 26)
    release_memory(always=True)
    del held
    release_grown()
    garbage = in_a_cycle(1 << 25)
    release_grown()
    assert garbage() is None


def test_modules_are_released_once_they_are_called(tmp_path: Path) -> None:
    size = 1 << 26
    layer = torch.nn.Linear(1 << 12, 1 << 12, bias=False)
    with memory_mapping(tmp_path, above=0), torch.no_grad():
        enable_for(1)
        layer.weight = torch.nn.Parameter(memory_mapped(layer.weight), requires_grad=False)
        release_memory()
        before = resident()
        with released_between([layer]):
            layer(torch.ones(1, 1 << 12))
            assert resident() - before < size // 2
        layer(torch.ones(1, 1 << 12))
        assert resident() - before > size // 2


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    code = (
        "import resource, torch\n"
        "from llm_export.memory import *\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 20}, {1 << 20}))\n"
        f"with memory_mapping(__import__('pathlib').Path({str(tmp_path)!r}), above=0):\n"
        "    enable_for(1)\n"
        "    memory_mapped(torch.ones(1 << 20))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, "an exception, not a signal"
    assert "OSError" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1 << 20
