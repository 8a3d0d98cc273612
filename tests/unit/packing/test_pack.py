"""A bundle in one file: a zip archive that ExecuTorch loads as a program."""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export import api
from llm_export.api.packing import as_folder
from llm_export.bundle.opened import opened
from llm_export.bundle.verify import check_bundle
from llm_export.cli.main import main
from llm_export.errors import BundleError, InputError, LlmExportError
from llm_export.packing import pack as packing
from runtime_py import LLM, BundleRuntimeError
from runtime_py.archive import ALIGNMENT, Archive
from runtime_py.bundle import Bundle
from runtime_py.probe import attempted
from runtime_py.program import Program

PROGRAM = "model.pte"


@pytest.fixture(scope="module")
def packed(portable_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.pack(portable_bundle, tmp_path_factory.mktemp("packed") / "tiny.llmbundle").path


@pytest.fixture
def bundle(portable_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(portable_bundle, tmp_path / "bundle"))


def answer(llm: LLM) -> str:
    return llm.generate("Once upon a time", max_new_tokens=6, temperature=0).text


def test_it_is_a_plain_archive_of_what_the_manifest_lists(
    packed: Path, portable_bundle: Path
) -> None:
    listed = {*Bundle.open(portable_bundle).manifest["files"], "manifest.json"}
    with zipfile.ZipFile(packed) as archive:
        assert {*archive.namelist()} == listed
        assert archive.testzip() is None
        for name in listed:
            assert archive.read(name) == (portable_bundle / name).read_bytes()
    for member in Archive.read(packed).members.values():
        assert member.stored
        assert member.start % (ALIGNMENT if member.name == PROGRAM else 64) == 0


def test_the_same_bundle_gives_the_same_bytes(
    packed: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "notes.txt").write_text("mine")
    made = api.pack(bundle)
    assert made.path == bundle.with_name("bundle.llmbundle")
    assert made.path.read_bytes() == packed.read_bytes()
    assert made.bytes == packed.stat().st_size
    assert "notes.txt" in made.left_out
    monkeypatch.setattr(packing, "_LONG", 1000)  # headers of members above 4 GB
    assert api.pack(bundle).path.stat().st_size > made.bytes
    assert api.unpack(made.path, bundle.with_name("long")).note == ""


def test_executorch_maps_the_program_by_the_path_of_the_archive(
    packed: Path, portable_bundle: Path
) -> None:
    facts = Bundle.open(portable_bundle).manifest["program"]
    program = Program.of_manifest(packed, facts)
    assert str(packed.resolve()) in Path("/proc/self/maps").read_text()
    own = Program.of_manifest(portable_bundle / PROGRAM, facts)
    assert program.prefill([5, 6, 7]).tolist() == own.prefill([5, 6, 7]).tolist()


def test_a_packed_bundle_is_used_as_its_folder(
    packed: Path, portable_bundle: Path, tmp_path: Path
) -> None:
    with LLM.load(packed) as one, LLM.load(portable_bundle) as other:
        assert answer(one) == answer(other)
        assert (one.bundle.path / PROGRAM).is_symlink()
    assert all(check.good for check in check_bundle(opened(packed), probe=attempted))
    assert api.proof(packed) == api.proof(portable_bundle)
    here, there = (api.verify_for(each, "module")[0] for each in (packed, portable_bundle))
    assert [row.found for row in here.rows] == [row.found for row in there.rows]
    assert here.failed
    command = f"llm-export unpack {shlex.quote(str(packed))} FOLDER"
    assert all(row.fix.startswith(command) for row in here.failed)
    assert api.compare_templates(packed)[0].results
    assert api.report_markdown(packed) == api.report_markdown(portable_bundle)
    assert not api.compare(portable_bundle, packed, fail_if="size.bundle > base").failed
    for change in (
        lambda: api.adapt(packed, tmp_path), lambda: api.report(packed),
        lambda: api.share(packed, to=tmp_path / "shared"), lambda: api.pack(packed),
    ):  # fmt: skip
        with pytest.raises(BundleError, match="takes a bundle's folder"):
            change()


def test_what_needs_all_files_has_them_for_so_long(packed: Path, portable_bundle: Path) -> None:
    with as_folder(packed) as folder:
        assert (folder / PROGRAM).read_bytes() == (portable_bundle / PROGRAM).read_bytes()
        assert not (folder / PROGRAM).is_symlink()
    assert not folder.exists()
    with as_folder(portable_bundle) as folder:
        assert folder == portable_bundle


def test_the_verbs_say_what_they_did(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, again = str(tmp_path / "tiny.llmbundle"), str(tmp_path / "again")
    (bundle / "notes.txt").write_text("mine")
    assert main(["pack", str(bundle), file]) == 0
    said = capsys.readouterr().out
    assert "left out, not in the manifest: notes.txt" in said
    assert said.endswith(f"packed: {file} ({Path(file).stat().st_size:,} bytes)\n")
    assert main(["unpack", file, again]) == 0
    assert capsys.readouterr().out.endswith(f"unpacked: {again}\n")
    assert main(["unpack", str(bundle / "recipe.yaml"), again]) == 2
    assert "no packed bundle: it does not end as a zip archive" in capsys.readouterr().err


def test_unpacking_gives_the_bundle_again(packed: Path, portable_bundle: Path) -> None:
    own = packed.with_suffix("")
    found = api.unpack(packed)
    assert (found.folder, found.left_out, found.note) == (own, (), "")
    for name in found.files:
        assert (own / name).read_bytes() == (portable_bundle / name).read_bytes()
    with pytest.raises(BundleError, match="holds something"):
        api.unpack(packed)


def test_etm_has_the_metadata_of_the_rfc(packed: Path, bundle: Path) -> None:
    made = api.pack(bundle, layout="etm")
    assert made.path.suffix == ".etm"
    with zipfile.ZipFile(made.path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["chat_template"] == (bundle / "chat_template.jinja").read_text()
    assert metadata["num_bos"] == int(Bundle.open(bundle).manifest["tokenizer"]["add_bos"])
    with LLM.load(made.path) as one, LLM.load(packed) as other:
        assert answer(one) == answer(other)
    assert api.unpack(made.path, bundle.with_name("again")).left_out == ("metadata.json",)


def test_nothing_is_written_of_a_damaged_bundle_or_over_other_files(
    bundle: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.zip"
    taken.write_text("a letter")
    with pytest.raises(InputError, match="a file of another kind"):
        api.pack(bundle, taken)
    with pytest.raises(InputError, match="no layout 'tar'"):
        api.pack(bundle, layout="tar")
    template = bundle / "chat_template.jinja"
    template.write_text(template.read_text()[::-1])
    with pytest.raises(BundleError, match=r"chat_template\.jinja has another sha256"):
        api.pack(bundle, tmp_path / "new.llmbundle")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "taken.zip"]


def rewritten(
    source: Path,
    out: Path,
    change: Callable[[zipfile.ZipFile], None],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """The members of an archive as another tool would write them, and what ``change`` adds."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        change(new)
    return out


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def overlapping(archive: zipfile.ZipFile) -> None:
    """A second name for bytes that another member has: how small archives unpack to large ones."""
    archive.writestr("kernel", bytes(1000))
    entry = zipfile.ZipInfo("another")
    entry.header_offset = archive.getinfo("kernel").header_offset
    entry.CRC, entry.compress_size, entry.file_size = 0, 1000, 1000
    archive.filelist.append(entry)


def duplicate(archive: zipfile.ZipFile) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("recipe.yaml", "name: other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.writestr("../out", "x"), "leads out of the folder"),
        (lambda a: a.writestr("C:/out", "x"), "leads out of the folder"),
        (lambda a: a.writestr("C:out", "x"), "leads out of the folder"),
        (lambda a: a.writestr("/out", "x"), "leads out of the folder"),
        (link, "a link or device"),
        (duplicate, "two members have one name"),
        (lambda a: a.writestr("Model.PTE", "x"), "two files have one name"),
        (lambda a: a.writestr("model.pte/x", "x"), "a file and of a folder"),
        (overlapping, "members share bytes"),
        (lambda a: setattr(a, "comment", b"x" * 70), "does not end as a zip"),
    ],
)  # fmt: skip
def test_an_archive_that_was_made_to_do_harm_is_refused(
    packed: Path, tmp_path: Path, change: Callable[[zipfile.ZipFile], None], words: str
) -> None:
    harmful = rewritten(packed, tmp_path / "x.zip", change)
    if "end as" in words:
        harmful.write_bytes(harmful.read_bytes()[:-200])
    for use in (lambda: LLM.load(harmful), lambda: api.unpack(harmful, tmp_path / "out")):
        with pytest.raises((BundleRuntimeError, LlmExportError), match=words):
            use()
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


def test_an_archive_of_another_tool_is_unpacked_only(packed: Path, tmp_path: Path) -> None:
    for name, how, words in (
        ("stored", zipfile.ZIP_STORED, "begins at byte"),
        ("small", zipfile.ZIP_DEFLATED, "is compressed"),
    ):
        other = rewritten(packed, tmp_path / f"{name}.zip", lambda a: None, how)
        with pytest.raises(BundleRuntimeError, match=words) as caught:
            LLM.load(other)
        assert "llm-export unpack" in str(caught.value)
        found = api.unpack(other)
        assert words in found.note
        assert api.pack(found.folder, tmp_path / "again").path.read_bytes() == packed.read_bytes()


def test_more_than_the_manifest_says_is_not_written(packed: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, bytes(3_000_000) if name == "recipe.yaml" else old.read(name))
    with pytest.raises(BundleError, match=r"more than the manifest says: recipe\.yaml"):
        api.unpack(bomb, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bomb.zip"]


def test_a_changed_byte_is_found(packed: Path, tmp_path: Path) -> None:
    whole, members = packed.read_bytes(), Archive.read(packed).members
    for at, words in (
        (60, "does not begin with the tables of its program"),
        (members[PROGRAM].start + members[PROGRAM].size - 9, r"model\.pte has another sha256"),
        (members["tokenizer.json"].start + 9, r"tokenizer\.json has another sha256"),
    ):
        changed = tmp_path / "changed.llmbundle"
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BundleRuntimeError, match=words) as caught:
            LLM.load(changed)
        assert caught.value.where == str(changed)
    assert [c.what for c in api.verify(changed) if not c.good] == ["tokenizer.json"]
    with pytest.raises(BundleError, match=r"the archive is damaged: .*CRC"):
        api.unpack(changed, tmp_path / "out")
