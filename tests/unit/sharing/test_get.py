"""Fetching recipes: what is taken, from where, what is refused, and that nothing is written."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from folded import entries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_files import FILES, RECIPE, folder_of, shared, tar_of, zip_of

from llm_export import api
from llm_export.cli.main import main
from llm_export.config.library import ORIGIN, library_names, library_recipe
from llm_export.errors import InputError, LlmExportError, RecipeError
from llm_export.sharing import members
from llm_export.sharing.archive import read_archive
from llm_export.sharing.examine import examine
from llm_export.sharing.git import GitSource
from llm_export.sharing.index import digest_of, listed
from llm_export.sharing.source import fetch

# -- the verb ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "zip", "dotted", "nested"])
def test_get_shows_asks_and_writes(
    form: str, tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = {
        "folder": lambda: folder_of(tmp_path / "mine", shared()),
        "zip": lambda: zip_of(tmp_path / "mine.zip", shared()),
        "dotted": lambda: tar_of(tmp_path / "x.tgz", {f"./{n}": d for n, d in shared().items()}),
        "nested": lambda: tar_of(
            tmp_path / "x.tgz", {f"top-main/{n}": d for n, d in shared().items()}
        ),
    }[form]()
    assert main(["get", str(source)]) == 2
    shown = capsys.readouterr()
    assert "no terminal to ask on" in shown.err
    assert "every file against share.json" in shown.out
    assert "random, seed 0" in shown.out
    assert "xnnpack" in shown.out
    assert not library.exists()
    assert main(["get", str(source), "--yes"]) == 0
    said = capsys.readouterr().out
    assert "llm-export run local/mine" in said
    place = library / "local" / "mine"
    origin = json.loads((place / ORIGIN).read_text())
    assert origin["digest"] == digest_of({n: (place / n).read_bytes() for n in origin["files"]})
    assert set(origin["files"]) == {*FILES, "share.json"}
    assert bool(origin["revision"]) == (form != "folder")
    for name, data in FILES.items():
        assert (place / name).read_bytes() == data
    assert api.compose_recipe("local/mine").recipe.description == "Theirs"
    assert library_names() == ["local/mine"]
    assert library_recipe("local/../mine") is None
    assert main(["ls", "recipes"]) == 0
    row = next(r for r in entries(capsys.readouterr().out) if r.startswith("  local/mine "))
    assert row.split() == ["local/mine", "Theirs", *f"[{origin['origin']}]".split()]
    assert main(["get", str(source), "--yes"]) == 0
    assert "replaces   the same files" in capsys.readouterr().out
    assert sorted(p.name for p in library.rglob("*") if p.name.startswith(".")) == []


def test_a_page_which_may_hold_any_script_stays_at_its_source(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = shared({**FILES, "report.html": b"<script>steal()</script>"})
    assert main(["get", str(folder_of(tmp_path / "mine", files)), "--yes"]) == 0
    assert "report.html is left where it is" in capsys.readouterr().out
    kept = {p.relative_to(library / "local/mine").as_posix() for p in library.rglob("*.*")}
    assert kept == {*FILES, "share.json", "origin.json"} - {"LICENSE"}


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_without_a_yes_nothing_is_written(
    answer: str, code: int, tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert main(["get", str(folder_of(tmp_path / "mine", shared()))]) == code
    assert library.exists() == (code == 0)


def test_what_was_not_fetched_is_not_replaced(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = folder_of(library / "local" / "mine", {"own.txt": b"mine"})
    source = folder_of(tmp_path / "mine", shared())
    assert main(["get", str(source), "--yes"]) == 2
    assert (mine / "own.txt").read_text() == "mine"
    other = ["--yes", "--library", str(tmp_path / "other")]
    assert main(["get", str(source), *other]) == 0
    assert main(["get", str(zip_of(tmp_path / "b.zip", shared())), *other]) == 2
    assert "from somewhere else" in capsys.readouterr().err
    assert (tmp_path / "other" / "local" / "mine" / "mine.yaml").is_file()


def test_what_a_recipe_says_does_not_move_the_cursor(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b'defaults: [export_base, _self_]\ndescription: "\\e[2Jgone\\r\\nhidden"\n'
    assert main(["get", str(folder_of(tmp_path / "x", {"r.yaml": text})), "--yes"]) == 0
    out = capsys.readouterr().out
    assert "gone" in out
    assert "\x1b" not in out
    assert "\r" not in out


# -- what is refused -----------------------------------------------------------------------

BAD_NAMES = [
    ("../out.txt", "leads out"),
    ("a/../../out.txt", "leads out"),
    ("/abs.txt", "out of the folder"),
    ("C:\\x.txt", "out of the folder|absolute"),
    ("..\\x.txt", "leads out"),
    ("run.sh", "of a kind"),
    ("model.pte", "of a kind"),
    ("weights.bin", "of a kind"),
    ("a.py", "of a kind"),
    ("LICENSE.exe.sh", "of a kind|not plain"),
    ("quant/evil.yaml", "must lie at the top"),
    ("a/b/c/d/e/f.txt", "not plain"),
    ("x\x1b[2J.txt", "not plain"),
    ("x" * 300 + ".txt", "not plain"),
    ("a//mine.txt", "not plain"),
]


@pytest.mark.parametrize(("name", "what"), BAD_NAMES)
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_names_that_an_archive_may_not_hold(
    name: str, what: str, pack: Callable[..., Path], tmp_path: Path
) -> None:
    suffix = "a.zip" if pack is zip_of else "a.tar.gz"
    source = pack(tmp_path / suffix, {"mine.yaml": RECIPE, name: b"x"})
    with pytest.raises(InputError, match=what) as caught:
        fetch(str(source))
    assert "\x1b" not in str(caught.value)
    assert caught.value.fix
    assert [p.name for p in tmp_path.iterdir()] == [suffix]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("link.txt")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match="link or device"):
        read_archive(tar_of(tmp_path / "a.tar.gz", FILES, entry))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="link or device"):
        read_archive(path)
    mine = folder_of(tmp_path / "mine", FILES)
    (mine / "link.txt").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="link or device"):
        fetch(str(mine))
    (mine / "link.txt").unlink()
    os.mkfifo(mine / "pipe.txt")
    with pytest.raises(InputError, match="link or device"):
        fetch(str(mine))


def test_too_many_and_too_large(tmp_path: Path) -> None:
    many = {f"{i}.txt": b"" for i in range(members.MAX_FILES + 1)}
    huge = {"a.json": b" " * (members.MAX_FILE + 1)}
    long = {"a.yaml": b" " * 1_000_001}
    total = {f"{i}.json": b" " * members.MAX_FILE for i in range(5)}
    for files, what in ((many, "more than 200 files"), (huge, "larger than 8 MB"),
                        (long, "larger than 1 MB"), (total, "larger than 32 MB")):  # fmt: skip
        for source in (zip_of(tmp_path / "a.zip", files), tar_of(tmp_path / "a.tar.gz", files)):
            with pytest.raises(InputError, match=what):
                read_archive(source)
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(b"\0" * 200_000_000, 9))
    with pytest.raises(InputError, match="more than 64 MB"):
        read_archive(bomb)
    folder_of(tmp_path / "many", many)
    with pytest.raises(InputError, match="more than 200 files"):
        fetch(str(tmp_path / "many"))


def test_damaged_archives(tmp_path: Path) -> None:
    whole_zip = zip_of(tmp_path / "w.zip", FILES).read_bytes()
    whole_tar = tar_of(tmp_path / "w.tar.gz", FILES).read_bytes()
    for name, data in (("a.zip", whole_zip), ("a.tar.gz", whole_tar)):
        for cut in (0, 1, 10, len(data) // 2, len(data) - 5):
            (tmp_path / name).write_bytes(data[:cut])
            with pytest.raises(InputError, match="damaged"):
                read_archive(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "2")
    with pytest.raises(InputError, match="one name"):
        read_archive(tmp_path / "a.zip")
    with pytest.raises(InputError, match="one name"):
        read_archive(zip_of(tmp_path / "a.zip", {"a.txt": b"", "A.txt": b""}))


def test_files_must_be_what_the_index_says(tmp_path: Path) -> None:
    good = shared()
    kept, index = listed({**good, "more.txt": b"not listed"}, "it")
    assert "more.txt" not in kept
    assert index is not None
    for change, what in (
        ({"mine.yaml": RECIPE + b"#"}, "not what share.json says: 'mine.yaml'"),
        ({"LICENSE": None}, "not there: 'LICENSE'"),
        ({"share.json": b"{"}, "not valid JSON"),
        ({"share.json": b"[" * 100_000}, "not valid JSON"),
        ({"share.json": b'{"format": 2}'}, "format 2"),
        ({"share.json": b'{"format": 1}'}, "not valid: share.json"),
        ({"share.json": good["share.json"].replace(b'"recipe": "mine', b'"recipe": "x')}, "list"),
    ):
        files = {n: d for n, d in {**good, **change}.items() if d is not None}
        with pytest.raises(InputError, match=what):
            fetch(str(zip_of(tmp_path / "a.zip", files)))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"verify: {text: /etc/passwd}", "leaves the recipe's folder"),
        (b"checkpoint: {path: ../x}", "leaves the recipe's folder"),
        (b"name: '${oc.env:HOME}'", "resolvers"),
        (b"model: {config: {_target_: os.system}}", "_target_"),
        (b"defaults: [export_base, other, _self_]", "shipped options only"),
        (b"quant: {grup_size: 3}", "no key"),
        (b"a: [", "not valid YAML"),
    ],
)
def test_recipes_that_are_not_safe_are_not_taken(
    text: bytes, what: str, tmp_path: Path, library: Path
) -> None:
    with pytest.raises(RecipeError, match=what) as caught:
        examine({"r.yaml": text}, "there")
    assert str(caught.value.where).startswith("there: r.yaml")
    assert "/tmp" not in str(caught.value)
    assert main(["get", str(folder_of(tmp_path / "x", {"r.yaml": text})), "--yes"]) == 2
    assert not library.exists()


def test_a_lock_is_looked_at_too() -> None:
    for lock, what in ((b"a: 1", "no key 'a'|not a lock"), (b"format: 9\nrecipe: {}", "format 9"),
                       (b"format: 1\nrecipe: {verify: {text: /x}}", "leaves")):  # fmt: skip
        with pytest.raises(RecipeError, match=what):
            examine({"r.yaml": RECIPE, "recipe.lock.yaml": lock}, "there")
    with pytest.raises(InputError, match="there is no recipe"):
        examine({"README.md": b""}, "there")


# -- anything ------------------------------------------------------------------------------

names = st.text(alphabet="ab./\\:~C \x00\x1bé-_", min_size=1, max_size=12) | st.sampled_from(
    ["r.yaml", "a.txt", "share.json", "LICENSE", "../r.yaml", "t/a.txt"]
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(files=st.dictionaries(names, st.binary(max_size=30), max_size=4), cut=st.integers(0, 4000))
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_any_archive_is_taken_or_refused(
    pack: Callable[..., Path], files: dict[str, bytes], cut: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    source = folder / ("a.zip" if pack is zip_of else "a.tar.gz")
    try:
        pack(source, files)
    except (ValueError, IndexError):  # zipfile cannot write what it could read
        return
    whole = source.read_bytes()
    for data in (whole, whole[:cut], whole[:cut] + b"\xff" + whole[cut + 1 :]):
        source.write_bytes(data)
        with contextlib.suppress(LlmExportError):
            for name in read_archive(source):
                place = (folder / name).resolve()
                assert place.is_relative_to(folder.resolve())
                assert members.is_known(name)
    assert [p.name for p in folder.iterdir()] == [source.name]


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="git+hfsle:/@#.-ab \x00\n", max_size=30))
def test_any_address_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        source = GitSource.parse("git+file:///" + text)
        assert not source.revision.startswith("-")
        assert ".." not in source.folder.split("/")


def test_the_next_command_asks_for_weights_that_are_not_shared(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE + b"checkpoint: {path: weights/mine}\n"
    folder = folder_of(tmp_path / "mine", {"mine.yaml": recipe})
    assert main(["get", str(folder), "--yes"]) == 0
    assert "run it:  llm-export run local/mine checkpoint.path=PATH\n" in capsys.readouterr().out
