"""What no run made is never replaced, whatever the user names for output."""

from __future__ import annotations

import os
import random
import shutil
import stat
from pathlib import Path

import pytest
from hostile.outcome_record import note
from hostile.places import PLACES, TAKEN

from llm_export.checkpoints.folder_writer import FolderWriter
from llm_export.errors import InputError, LlmExportError
from llm_export.output.claim import require_claimable
from llm_export.output.place import Named, file_to_write
from llm_export.output.seal import SEAL
from llm_export.runner.workspace import Workspace
from llm_export.sharing.pack import require_pack_or_nothing
from llm_export.sweep.state import SweepFolder

State = dict[str, tuple[object, ...]]


def state_of(folder: Path) -> State:
    """Every entry below a folder, with type, inode and content."""
    found: State = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            facts = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
            target = os.readlink(path) if path.is_symlink() else ""
            key = path.relative_to(folder).as_posix()
            found[key] = (stat.S_IFMT(facts.st_mode), facts.st_ino, content, target)
    return found


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def publish(out: str) -> None:
    workspace = Workspace(Path(out))
    (workspace.bundle / "model.pte").write_text("program")
    workspace.publish()


@pytest.mark.parametrize("kind", PLACES)
def test_a_run_refuses_before_work_or_writes(inside: Path, kind: str) -> None:
    place = PLACES[kind]
    if place.root is not None and place.root != (os.geteuid() == 0):
        pytest.skip("root, or somebody else, may do that")
    out = place.make(inside)
    before = state_of(inside)
    if place.said == TAKEN:
        require_claimable(Path(out))
        publish(out)
        publish(out)  # its own bundle is replaced
        assert (Path(out) / "model.pte").read_text() == "program"
        assert not [p for p in state_of(inside) if "partial" in p]
        note("places of outputs", held=1)
        return
    # ``validate`` says what ``run`` would.
    texts = []
    for attempt in (lambda: require_claimable(Path(out)), lambda: Workspace(Path(out))):
        with pytest.raises(InputError) as caught:
            attempt()
        texts.append(caught.value.what)
        assert place.said in str(caught.value)
        assert caught.value.fix
    assert texts[0] == texts[1]
    assert state_of(inside) == before
    note("places of outputs", refused=1)


ONLY_A_RUN = ("stranger", "manifest", "working folder", "link in its place")


@pytest.mark.parametrize("kind", [k for k, p in PLACES.items() if p.said != TAKEN])
def test_other_commands_refuse_the_same_places(inside: Path, kind: str) -> None:
    place = PLACES[kind]
    if place.root is not None and place.root != (os.geteuid() == 0):
        pytest.skip("root, or somebody else, may do that")
    if any(word in kind for word in ONLY_A_RUN):
        return
    out = Path(place.make(inside))
    before = state_of(inside)
    commands = {
        "convert": lambda: FolderWriter(out),
        "share": lambda: require_pack_or_nothing(out),
        "a file": lambda: file_to_write(out, Named("the file")),
        "a sweep": lambda: SweepFolder(out),
    }
    in_place = ("folder with a", "the current", "the root", "up from nothing")
    for name, command in commands.items():
        if name == "a sweep" and any(word in kind for word in in_place):
            continue  # it works in a folder, and renames nothing
        if name == "a file" and kind in ("a file", "a link to a file"):
            assert command() is not None
            continue
        with pytest.raises(LlmExportError):
            command()
        note("places of other outputs", refused=1)
    assert state_of(inside) == before


def test_a_mount_point_is_refused_before_work(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of ``docker -v``; the kernel's table is that of another machine."""
    table = inside / "mountinfo"
    (inside / "my models").mkdir()
    escaped = str(inside / "my models").replace(" ", r"\040")
    table.write_text(f"36 35 98:0 /mnt1 {escaped} rw,noatime master:1 - ext3 /dev/root rw\n")
    monkeypatch.setattr("llm_export.output.mounts._TABLE", table)
    with pytest.raises(InputError, match="is a mount point") as caught:
        Workspace(inside / "my models")
    assert "my models/bundle" in str(caught.value.fix)
    publish(str(inside / "my models" / "bundle"))
    note("places of outputs", refused=1, held=1)


def test_a_bundle_with_something_of_the_user_stays(inside: Path) -> None:
    """Files that were added or edited, a seal that was copied, and a seal that was forged."""
    random_ = random.Random(7)
    names = ["model.pte", "manifest.json", "report.md", "adapters/a.ptd", "recipe.yaml"]
    refused = held = 0
    for number in range(60):
        out = inside / str(number)
        workspace = Workspace(out)
        for name in names:
            (workspace.bundle / name).parent.mkdir(exist_ok=True)
            (workspace.bundle / name).write_text(f"{name} {number}")
        workspace.publish()
        change = random_.choice(
            ["none", "program", "removed", "added", "edited", "linked", "folder", "seal", "copied"]
        )
        victim = out / random_.choice([n for n in names if not n.endswith((".pte", ".ptd"))])
        if change == "program":  # damage: a reason to make it anew
            (out / "model.pte").write_text("half")
        elif change == "removed":
            victim.unlink()
        elif change == "added":
            (out / random_.choice(["", "adapters"]) / "thesis.txt").write_text("thesis")
        elif change == "edited":
            victim.write_text(victim.read_text() + "\nthesis")
        elif change == "linked":
            victim.unlink()
            victim.symlink_to(inside)
        elif change == "folder":
            (out / "photos").mkdir()
        elif change == "seal":
            text = (out / SEAL).read_text()
            place = random_.randrange(text.index("files"), len(text) - 70)
            (out / SEAL).write_text(text[:place] + "~" + text[place + 1 :])
        elif change == "copied":
            seal = (out / SEAL).read_bytes()
            out = inside / f"{number}-mine"
            out.mkdir()
            (out / SEAL).write_bytes(seal)
            (out / "report.md").write_text("thesis")
        before = state_of(out)
        if change in ("none", "program", "removed"):
            publish(str(out))
            held += 1
            continue
        with pytest.raises(InputError, match=r"not a bundle's|was changed since"):
            Workspace(out)
        assert state_of(out) == before
        refused += 1
    assert held
    assert refused
    note("folders with a user's files", held=held, refused=refused)


def test_bundles_of_a_run_and_of_the_former_version(portable_bundle: Path, tmp_path: Path) -> None:
    """Version 0.1 wrote no seal; its manifest lists the files with their sha256."""
    require_claimable(portable_bundle)
    bundle = tmp_path / "former"
    shutil.copytree(portable_bundle, bundle)
    (bundle / SEAL).unlink()
    require_claimable(bundle)
    (bundle / "report.md").write_text("thesis")
    with pytest.raises(InputError, match=r"was changed since it was written: report\.md"):
        require_claimable(bundle)
    shutil.copy(portable_bundle / "report.md", bundle)
    (bundle / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"not a bundle's: thesis\.txt"):
        require_claimable(bundle)
    note("folders with a user's files", held=2, refused=2)


def test_a_place_that_is_taken_between_two_renames(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes there after the check is moved back, and the finished bundle is kept."""
    out = inside / "o"
    publish(str(out))
    workspace = Workspace(out)
    (workspace.bundle / "model.pte").write_text("new")
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if Path(source) == out:
            (out / "thesis.txt").write_text("thesis")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(InputError, match=r"not a bundle's: thesis\.txt"):
        workspace.publish()
    workspace.abandon()
    assert (out / "thesis.txt").read_text() == "thesis"
    assert (workspace.bundle / "model.pte").read_text() == "new"
    note("folders with a user's files", refused=1)
