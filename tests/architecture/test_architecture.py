"""Rules that keep the program easy to change."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path

import grimp
import pytest
import yaml

from llm_export.backends import BACKENDS
from llm_export.config.schema import GROUPS

REPO = Path(__file__).parent.parent.parent
SOURCES = [p for folder in ("llm_export", "runtime_py") for p in (REPO / folder).rglob("*.py")]


def test_imports_go_one_way() -> None:
    # Beside the interpreter: the environment need not be activated.
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_file_is_in_an_import_cycle() -> None:
    """Imports under TYPE_CHECKING and inside functions count too."""
    graph = grimp.build_graph("llm_export", cache_dir=None)
    sorter = TopologicalSorter(
        {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    )
    sorter.prepare()  # raises CycleError with the cycle


def test_a_recipe_is_resolved_once() -> None:
    """What follows from a recipe is worked out in resolve/; all others take a ResolvedRecipe."""
    again = r"BACKENDS\.get\(recipe|chain_of\(recipe|methods_of\(|attention_of\("
    found = {
        str(path.relative_to(REPO))
        for path in (REPO / "llm_export").rglob("*.py")
        if "resolve" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(again, line) and not line.startswith("def ")
    }
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_a_source_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"if .*\bbackend(\.name)? ==", text), "a branch on a backend's name"
    assert not re.search(r"\bexamples\b.*\bimport\b|from \S+\.examples", text)
    assert "trust_remote_code" not in text
    assert "weights_only=False" not in text
    assert len(text.splitlines()) <= 400, "is there a seam?"
    if "backends" not in path.parts and path.parts[-1] != "checks.py":
        named = [n for n in BACKENDS if re.search(rf"['\"]{n}['\"]", text)]
        assert not named, f"names the backend {named}"


def test_configs_are_plain_data() -> None:
    for folder in ("conf", "recipes"):
        for path in (REPO / folder).rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            yaml.safe_load(text)
            assert not re.search(r"\b_target_\b", text)
            assert not re.search(r"\$\{\s*[\w.]+:", text), f"{path} has a resolver"


def test_every_group_has_its_folder() -> None:
    assert {p.name for p in (REPO / "conf").iterdir() if p.is_dir()} - {"__pycache__"} == set(
        GROUPS
    )


def test_the_data_ships() -> None:
    assert resources.files("llm_export.conf").joinpath("export_base.yaml").is_file()
    assert resources.files("llm_export.data").joinpath("english.txt").is_file()
    assert resources.files("runtime_py").joinpath("manifest.schema.json").is_file()
    assert resources.files("llm_export.report").joinpath("report.md.jinja").is_file()
    assert resources.files("llm_export.report.page").joinpath("style.css").is_file()
    assert resources.files("llm_export.report.vendor").joinpath("LICENSE").is_file()


def test_a_wheel_has_every_package() -> None:
    """An editable install finds folders that nobody listed; a wheel does not."""
    settings = ConfigParser()
    settings.read(REPO / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(REPO).parts)
        for top in ("llm_export", "runtime_py")
        for path in (REPO / top).rglob("*.py")
    }
    assert found <= listed
