"""A backend from outside: as its page says, a module, an option file, one call."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_export import api
from llm_export.backends import BACKENDS, register_backend
from llm_export.checks.rules import find_problems
from llm_export.cli.main import main
from llm_export.errors import RecipeError
from llm_export.quant.schemes import TABLES
from llm_export.resolve.recipe import resolve

PAGE = Path(__file__).parents[3] / "docs" / "write-a-backend.md"
MODULE, OPTION = re.findall(r'title="[^"]*acme[^"]*"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
WORDS = ["model=tiny", "backend=acme"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "acme_backend.py").write_text(MODULE)
    (tmp_path / "conf" / "backend").mkdir(parents=True)
    (tmp_path / "conf" / "backend" / "acme.yaml").write_text(OPTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    register_backend("acme", "acme_backend", origin="acme's package")
    yield tmp_path
    for registry in (BACKENDS, TABLES):
        del registry._entries["acme"], registry._origins["acme"]
    sys.modules.pop("acme_backend", None)


def install_compiler(folder: Path) -> None:
    info = folder / "acme_npu_compiler-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_npu_compiler\nVersion: 1.2\n")


def test_it_is_composed_and_checked_like_the_shipped_ones(folder: Path) -> None:
    install_compiler(folder)
    recipe = api.compose_recipe(None, WORDS, str(folder / "conf")).recipe
    assert find_problems(recipe) == []
    assert resolve(recipe).attention == "static_io"
    four = api.compose_recipe(
        None, [*WORDS, "quant.rules=[{kind: linear, scheme: 4w}]"], str(folder / "conf")
    ).recipe
    (problem,) = find_problems(four)
    assert "acme cannot run 4w for a linear module (it has no nibbles)" in problem.what


def test_what_it_lacks_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = str(folder / "conf")
    assert main(["validate", *WORDS, "--config-dir", conf]) == 3
    said = capsys.readouterr().err
    assert "the package 'acme_npu_compiler' is not installed" in said
    assert "fix:   pip install acme_npu_compiler>=1" in said
    install_compiler(folder)
    assert main(["validate", *WORDS, "--config-dir", conf]) == 0
    assert "sound" in capsys.readouterr().out
    assert main(["doctor", "acme"]) == 0
    assert "acme_npu_compiler 1.2" in capsys.readouterr().out


def test_a_name_is_given_once(folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        register_backend("acme", "other", origin="another package")
    assert "acme's package and another package" in str(caught.value)
