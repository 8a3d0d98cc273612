"""Which parts of emulation are here, and how to get the others."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from llm_export import api
from llm_export.arm.parts import GET, QEMU, SYSROOT, fixes, identity, lacking, own_kernels, parts
from llm_export.checkpoints.cache import VARIABLE
from llm_export.cli.arm_parts import arm_state
from llm_export.errors import MissingDependencyError

pytestmark = pytest.mark.skipif(own_kernels(), reason="this machine has the kernels itself")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with none of the parts."""
    monkeypatch.setenv(QEMU, "")
    monkeypatch.setenv(SYSROOT, str(tmp_path / "sysroot"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_bare_machine_is_told_one_command(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacking() == parts()
    command = f"apt-get install qemu-user g++-aarch64-linux-gnu && {GET}"
    assert fixes(lacking()) == command
    assert arm_state(parts())[1] == command
    assert identity() is None
    with pytest.raises(MissingDependencyError, match="no emulator, no C\\+\\+ library") as caught:
        api.get_arm_emulation()
    assert caught.value.fix == "apt-get install qemu-user g++-aarch64-linux-gnu"
    # Without ExecuTorch too: the command tells what lacks.
    monkeypatch.setattr("llm_export.arm.parts.installed", lambda name: None)
    assert [part.name for part in parts()] == ["emulator", "C++ library", "ExecuTorch"]


def test_parts_are_found_where_they_are(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("my-qemu", "aarch64-linux-gnu-g++"):
        (bare / name).write_text("#!/bin/sh\n")
        (bare / name).chmod(0o755)
    monkeypatch.setenv(QEMU, "my-qemu")
    library = bare / "sysroot" / "lib" / "libstdc++.so.6"
    library.parent.mkdir(parents=True)
    library.touch()
    assert [part.fix for part in lacking()] == [GET]
    assert arm_state(parts())[1] == GET
    from llm_export.targets.sdk import sdk_place

    sdk_place("aarch64").mkdir(parents=True)
    assert not lacking()
    text, command = arm_state(parts())
    assert text.count("there") == len(parts())
    assert not command
    before = identity()
    assert before is not None
    (bare / "my-qemu").write_text("#!/bin/sh\n# of another version\n")
    assert identity() != before


def test_on_arm_there_is_nothing_to_emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert own_kernels()
    assert identity() is None
