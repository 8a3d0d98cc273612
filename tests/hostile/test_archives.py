"""Archives of recipes that contradict themselves, climb, or unpack to more than they are."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hostile.outcomes import Outcomes
from hostile.small_checkpoints import bytes_changed

from llm_export.errors import InputError
from llm_export.sharing.archive import read_archive
from llm_export.sharing.examine import examine, write_files
from llm_export.sharing.members import MAX_FILES

RECIPE = b"defaults: [export_base, _self_]\ndescription: x\n"
Member = tuple[str, bytes | str]
"""(name, content), or (name, type of a tar member, with its target)."""

REFUSED: dict[str, tuple[list[Member], str]] = {
    "a file and a folder": ([("x.txt", b"a"), ("x.txt/y.txt", b"b")], "of a file and of a folder"),
    "a folder and a file": ([("x.txt/y.txt", b"b"), ("x.txt", b"a")], "of a file and of a folder"),
    "in another case": ([("X.txt", b"a"), ("x.txt/y.txt", b"b")], "of a file and of a folder"),
    "one name twice": ([("x.txt", b"a"), ("x.txt", b"b")], "two files have one name"),
    "two cases": ([("x.txt", b"a"), ("X.txt", b"b")], "two files have one name"),
    "absolute": ([("/tmp/x.txt", b"a")], "leads out of the folder"),
    "climbing": ([("a/../../x.txt", b"a")], "leads out of the folder"),
    "a drive": ([("C:\\x.txt", b"a")], "leads out of the folder"),
    "a program": ([("x.py", b"a")], "of a kind that no shared recipe holds"),
    "a page": ([("x.html", b"a")], "of a kind that no shared recipe holds"),
    "another page": ([("texts/report.html", b"a")], "of a kind that no shared recipe holds"),
    "control characters": ([("a\x1b[2J.txt", b"a")], "not plain"),
    "a long name": ([("a" * 300 + ".txt", b"a")], "not plain"),
    "deep": ([("a/" * 300 + "x.txt", b"a")], "not plain"),
    "many files": ([(f"{i}.txt", b"") for i in range(MAX_FILES + 1)], "more than 200 files"),
    "many folders": ([(f"{i}/", "folder") for i in range(11 * MAX_FILES)], "more than 2000 entr"),
    "a large file": ([("x.txt", bytes(9_000_000))], "larger than 8 MB"),
    "a large recipe": ([("x.yaml", bytes(2_000_000))], "larger than 1 MB"),
    "large together": ([(f"{i}.txt", bytes(7_900_000)) for i in range(5)], "together larger"),
}
ONLY_TAR: dict[str, tuple[list[Member], str]] = {
    "a link": ([("x", "link /etc"), ("x/y.txt", b"a")], "link or device"),
    "a hard link": ([("x.txt", "hard /etc/passwd")], "link or device"),
    "a device": ([("x.txt", "device")], "link or device"),
    "a pipe": ([("x.txt", "pipe")], "link or device"),
}
_TYPES = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE,
          "pipe": tarfile.FIFOTYPE, "folder": tarfile.DIRTYPE}  # fmt: skip


def pack(path: Path, members: list[Member]) -> Path:
    members = [("recipe.yaml", RECIPE), *members]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content if isinstance(content, bytes) else b"")
        return path
    with tarfile.open(path, "w:gz", compresslevel=1) as archive_tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                kind, _, info.linkname = content.partition(" ")
                info.type, content = _TYPES[kind], b""
            info.size = len(content)
            archive_tar.addfile(info, io.BytesIO(content))
    return path


def fetch(path: Path) -> None:
    examine(read_archive(path), str(path))


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".zip", name) for name in REFUSED] + [(".tar.gz", name) for name in REFUSED | ONLY_TAR],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_contradiction_is_refused(suffix: str, name: str, tmp_path: Path) -> None:
    members, what = (REFUSED | ONLY_TAR)[name]
    with pytest.raises(InputError, match=what) as caught:
        fetch(pack(tmp_path / f"a{suffix}", members))
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_an_archive_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        info = tarfile.TarInfo("x.txt")
        info.size = 1 << 40
        file.write(info.tobuf() + bytes(1 << 16))
    with pytest.raises(InputError, match=r"larger than 8 MB|damaged"):
        fetch(bomb)
    whole = pack(tmp_path / "a.zip", [("x.txt", b"a" * 100)])
    data = bytearray(whole.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", (1 << 32) - 2)
    whole.write_bytes(data)
    read_archive(whole)  # the claim is not believed: what is read is counted


def test_what_is_read_can_be_written(tmp_path: Path) -> None:
    for suffix in (".zip", ".tar.gz"):
        members: list[Member] = [("a/x.txt", b"a"), ("a/y.txt", b"b"), ("b/x.txt", b"c")]
        files = read_archive(pack(tmp_path / f"a{suffix}", members))
        out = tmp_path / f"out{suffix}"
        write_files(out, files)
        assert {str(p.relative_to(out)) for p in out.rglob("*.*")} == set(files)


def spoil(scratch: Path, seeds: range) -> None:
    outcomes = Outcomes("archives")
    members: list[Member] = [("share.json", b"{}"), ("a/notes.md", b"text " * 40), ("b.txt", b"b")]
    whole = {s: pack(scratch / f"whole{s}", members).read_bytes() for s in (".zip", ".tar.gz")}
    for seed in seeds:
        rng = random.Random(seed)
        suffix = rng.choice((".zip", ".tar.gz"))
        data = whole[suffix]
        if suffix == ".tar.gz" and rng.random() < 0.9:  # inside: the checksum of gzip hides it
            data = gzip.compress(bytes_changed(gzip.decompress(data), rng, 6000), 1)
        else:
            data = bytes_changed(data, rng)
        file = scratch / f"{seed}{suffix}"
        file.write_bytes(data)
        outcomes.attempt(suffix[1:], f"seed {seed}", lambda file=file: fetch(file))  # type: ignore[misc]
        file.unlink()
    outcomes.finish()


def test_a_damaged_archive_is_refused_in_words(tmp_path: Path) -> None:
    spoil(tmp_path, range(25))


@pytest.mark.release
def test_many_damaged_archives(tmp_path: Path) -> None:
    spoil(tmp_path, range(10_000, 11_000))
