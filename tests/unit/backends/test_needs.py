"""What backends need: there, not there, and there in a version that does not do."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export.backends.machine import Device, PackageFile, PythonAtLeast, Variable
from llm_export.backends.packages import Module, Never, Package, Platform, first_lacking

Installs = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installs:
    """install(name, version, *files) makes a package that pip and Python see."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(name: str, version: str, *files: str) -> None:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        for file in ("__init__.py", *files):
            path = site / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("raise ImportError('needs are looked for, not imported')\n")

    return make


def test_a_package(install: Installs) -> None:
    need = Package("acme_npu>=2.1,<3", "acme", "3 crashes")
    absent = need()
    assert not absent.ok
    assert absent.reason == "the package 'acme_npu' is not installed"
    assert absent.fix == 'pip install "llm_export[acme]"'
    assert Package("acme_npu>=2")().fix == "pip install acme_npu>=2"
    install("acme_npu", "3.0.1")
    wrong = need()
    assert not wrong.ok
    assert "acme_npu 3.0.1 is installed, and <3,>=2.1 is needed (3 crashes)" in wrong.reason
    assert wrong.fix == 'pip install "acme_npu<3,>=2.1"'
    assert Package("acme_npu>=3")().ok


def test_a_prerelease_counts(install: Installs) -> None:
    install("acme_npu", "2.2b1")
    assert Package("acme_npu>=2.1")().ok


def test_a_module_and_a_file_are_not_imported(install: Installs) -> None:
    install("acme_npu", "1.0", "tools/compile.py", "lib/libacme.so")
    assert Module("acme_npu.tools.compile")().ok
    assert "acme_npu" not in sys.modules
    lacking = Module("acme_npu.tools.draw", "this build has no draw", "build it")()
    assert (lacking.ok, lacking.reason, lacking.fix) == (
        False,
        "this build has no draw",
        "build it",
    )
    assert Module("acme_gpu")().reason == "'acme_gpu' is not installed"
    assert PackageFile("acme_npu", "lib/libacme.*", "no library", "build it")().ok
    assert not PackageFile("acme_npu", "lib/libgpu.so", "no library", "build it")().ok
    assert PackageFile("acme_gpu", "*", "no package", "build it")().reason == "no package"


def test_a_variable_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    need = Variable("ACME_SDK", "lib/libacme.so", "no SDK", "export ACME_SDK=FOLDER", str(cache))
    monkeypatch.delenv("ACME_SDK", raising=False)
    assert (need().ok, need().reason, need().fix) == (False, "no SDK", "export ACME_SDK=FOLDER")
    monkeypatch.setenv("ACME_SDK", str(tmp_path))
    assert need().reason == f"ACME_SDK={tmp_path} has no lib/libacme.so"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libacme.so").touch()
    assert need().ok
    monkeypatch.delenv("ACME_SDK")
    (cache / "lib").mkdir(parents=True)
    (cache / "lib" / "libacme.so").touch()
    assert need().ok, "where the vendor's installer puts it"


def test_an_interpreter_and_a_system(tmp_path: Path) -> None:
    assert PythonAtLeast("3.10", "old")().ok
    lacking = PythonAtLeast("3.99", "its passes need Python 3.99")()
    assert "need Python 3.99 (this is 3." in lacking.reason
    assert lacking.fix.startswith("python3.99 -m venv")
    assert Platform(platform.system(), "elsewhere", "move")().ok
    assert not Platform("Plan9", "elsewhere", "move")().ok
    assert Device(str(tmp_path), "no device", "buy one")().ok
    assert Device(str(tmp_path / "gone"), "no device", "buy one")().reason == "no device"


def test_the_first_that_lacks_is_told() -> None:
    here, gone = Module("json"), Never("another device", "carry it there")
    assert first_lacking(()).ok
    assert first_lacking((here, gone, Module("nowhere"))).reason == "another device"
