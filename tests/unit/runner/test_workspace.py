"""A bundle gets its name only when it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export.errors import InputError, MissingDependencyError
from llm_export.runner.workspace import Workspace


def finish(workspace: Workspace, text: str) -> None:
    (workspace.bundle / "manifest.json").write_text('{"roles": {}, "files": {"text": {}}}')
    (workspace.bundle / "text").write_text(text)
    workspace.publish()


def test_publish_names_and_replaces(tmp_path: Path) -> None:
    out = tmp_path / "o"
    for text in ("first", "second"):
        workspace = Workspace(out)
        assert not out.exists() or (out / "text").read_text() == "first"
        finish(workspace, text)
        assert (out / "text").read_text() == text
        assert [p.name for p in tmp_path.iterdir()] == ["o"]


def test_abandon_leaves_no_bundle(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "o")
    (workspace.bundle / "model.pte").write_text("half")
    workspace.record_file.write_text("{}")
    workspace.abandon()
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()].count("model.pte") == 0
    assert workspace.record_file.is_file()
    finish(Workspace(tmp_path / "o"), "next")
    assert (tmp_path / "o" / "text").read_text() == "next"


def test_a_finished_bundle_that_finds_its_place_taken_is_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "o")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine").write_text("x")
    with pytest.raises(InputError, match=r"not a bundle's: mine") as caught:
        finish(workspace, "mine")
    workspace.abandon()
    assert caught.value.fix == f"move the finished bundle from {workspace.bundle}"
    assert (workspace.bundle / "text").read_text() == "mine"
    assert (tmp_path / "o" / "mine").read_text() == "x"


def test_two_runs_do_not_share_an_output(tmp_path: Path) -> None:
    first = Workspace(tmp_path / "o")
    with pytest.raises(MissingDependencyError, match="another run is working"):
        Workspace(tmp_path / "o")
    first.abandon()
    Workspace(tmp_path / "o").abandon()


def test_a_run_killed_between_the_renames_is_repaired(tmp_path: Path) -> None:
    finish(Workspace(tmp_path / "o"), "former")
    (tmp_path / ".o.partial").mkdir()
    (tmp_path / "o").rename(tmp_path / ".o.partial" / "replaced")
    Workspace(tmp_path / "o").abandon()
    assert (tmp_path / "o" / "text").read_text() == "former"


def test_foreign_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"not a bundle's: thesis\.txt"):
        Workspace(tmp_path / "o")
    assert (tmp_path / "o" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="the output is a file"):
        Workspace(tmp_path / "o" / "thesis.txt")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Workspace(tmp_path / "file" / "below" / "o")


@pytest.mark.parametrize("text", ["{}", '{"name": "a web app"}', "[", '{"files": 3, "roles": 1}'])
def test_a_manifest_of_something_else_is_foreign(tmp_path: Path, text: str) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="not a bundle's"):
        Workspace(tmp_path / "o")


def test_a_file_added_to_a_bundle_meanwhile_is_kept(tmp_path: Path) -> None:
    finish(Workspace(tmp_path / "o"), "first")
    workspace = Workspace(tmp_path / "o")
    (tmp_path / "o" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        finish(workspace, "second")
    workspace.abandon()
    assert (tmp_path / "o" / "notes.txt").read_text() == "mine"


def test_folders_in_a_bundle_are_its_own_file_by_file(tmp_path: Path) -> None:
    out = tmp_path / "o"
    for text in ("first", "second"):
        workspace = Workspace(out)
        (workspace.bundle / "adapters").mkdir()
        (workspace.bundle / "adapters" / "a.ptd").write_text(text)
        manifest = '{"roles": {}, "files": {"adapters/a.ptd": {}}}'
        (workspace.bundle / "manifest.json").write_text(manifest)
        workspace.publish()
        assert (out / "adapters" / "a.ptd").read_text() == text
    (out / "adapters" / "mine.ptd").write_text("weeks of training")
    with pytest.raises(InputError, match=r"not a bundle's: adapters/mine\.ptd"):
        Workspace(out)
