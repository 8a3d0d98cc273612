"""Rules that keep the program easy to change."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
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
FOLDERS: dict[str, list[Path]] = {}
for _top in ("llm_export", "runtime_py"):
    for _path in sorted((REPO / _top).rglob("*.py")):
        FOLDERS.setdefault("/".join(_path.relative_to(REPO).parent.parts[:2]), []).append(_path)

REFUSED = {
    r"if .*\bbackend(\.name)? ==": "branches on a backend's name",
    r"\bexamples\b.*\bimport\b|from \S+\.examples": "imports from a package's examples",
    "trust_remote_code": "trusts code of a checkpoint",
    "weights_only=False": "unpickles",
}
NAMED = re.compile("['\"](" + "|".join(map(re.escape, BACKENDS)) + ")['\"]")


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


def faults(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    for pattern, what in REFUSED.items():
        if re.search(pattern, text):
            yield what
    if len(text.splitlines()) > 400:
        yield "has more than 400 lines: is there a seam?"
    if "backends" not in path.parts and path.parts[-1] != "checks.py":
        yield from (f"names the backend {name}" for name in NAMED.findall(text))


@pytest.mark.parametrize("folder", FOLDERS)
def test_source_files(folder: str) -> None:
    found = [f"{path.relative_to(REPO)} {why}" for path in FOLDERS[folder] for why in faults(path)]
    assert not found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('if recipe.backend.name == "a":', "branches on a backend's name"),
        ("from executorch.examples.models import llama", "imports from a package's examples"),
        ("AutoModel(trust_remote_code=True)", "trusts code of a checkpoint"),
        ("torch.load(file, weights_only=False)", "unpickles"),
        ("name = 'xnnpack'", "names the backend xnnpack"),
        ("pass\n" * 401, "has more than 400 lines: is there a seam?"),
    ],
)
def test_a_fault_is_found(text: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "source.py"
    file.write_text(text)
    assert list(faults(file)) == [what]


def test_configs_are_plain_data() -> None:
    for folder in ("conf", "recipes"):
        for path in (REPO / folder).rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            yaml.load(text, yaml.CSafeLoader)
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
