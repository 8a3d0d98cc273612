"""The table of tested versions, and what it turns off."""

from __future__ import annotations

import ast
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from llm_export.compat import versions
from llm_export.compat.versions import TESTED, lowering_untested

REPO = Path(__file__).parents[3]
FILES = sorted(p for p in (REPO / "llm_export/compat").glob("*.py")
               if p.name not in ("__init__.py", "versions.py"))  # fmt: skip
WRITTEN_FOR = re.compile(rf"\b({'|'.join(TESTED)})\s+(\d+(?:\.\d+)+)")


def other(monkeypatch: pytest.MonkeyPatch, package: str, version: str) -> None:
    """Let one package have another version, as far as this table can see."""
    plain = versions.installed
    monkeypatch.setattr(versions, "installed", lambda p: version if p == package else plain(p))


@pytest.mark.parametrize("package", TESTED)
def test_the_installed_versions_are_tested(package: str) -> None:
    assert versions.tested(package) == ""


@pytest.mark.parametrize("package", TESTED)
def test_the_pinned_version_is_tested(package: str) -> None:
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {r.name: r for r in map(Requirement, (ln for ln in lines if ln and ln[0].isalpha()))}
    (pin,) = pins[package].specifier
    assert SpecifierSet(TESTED[package]).contains(pin.version)


@pytest.mark.parametrize("package", ["torch", "torchao", "hydra-core", "omegaconf"])
def test_only_tested_versions_can_be_installed(package: str) -> None:
    settings = ConfigParser()
    settings.read(REPO / "setup.cfg")
    lines = settings["options"]["install_requires"].split()
    (wanted,) = (r for r in map(Requirement, lines) if r.name == package)
    assert wanted.specifier == SpecifierSet(TESTED[package])


def test_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    other(monkeypatch, "executorch", "1.6.0")
    assert versions.tested("executorch") == "executorch 1.6.0 is installed; tested is ==1.5.1"
    assert lowering_untested() == versions.tested("executorch")


def test_another_torch_turns_faster_lowering_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowering_untested() == ""
    other(monkeypatch, "torch", "2.14.0+cpu")
    assert lowering_untested() == "torch 2.14.0+cpu is installed; tested is >=2.13,<2.14"


def test_a_package_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    other(monkeypatch, "torchtune", "")
    assert versions.tested("torchtune") == "torchtune is not installed; tested is ==0.6.1"


def test_installed_reads_metadata() -> None:
    assert versions.installed("no-such-package-as-this") == ""
    assert versions.installed("executorch").startswith("1.")


@pytest.mark.parametrize("path", [*FILES, REPO / "runtime_py/compat.py"], ids=lambda p: p.name)
def test_each_file_says_what_it_was_written_for(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = WRITTEN_FOR.findall(text)
    assert found, "name the package and its version in the docstring"
    for package, version in found:
        bounds = [spec.version for spec in SpecifierSet(TESTED[package])]
        assert any(b == version or b.startswith(f"{version}.") or version.startswith(f"{b}.")
                   for b in bounds), f"{package} {version} is not what is tested"  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_each_file_has_a_test(path: Path) -> None:
    tests = [p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("*.py")]
    module = path.stem
    used = re.compile(rf"compat\.{module} import|compat import .*\b{module}\b")
    assert any(used.search(text) for text in tests)
