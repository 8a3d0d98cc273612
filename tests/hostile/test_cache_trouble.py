"""Trouble with the stage cache never stops a run: it is told, and the run goes on without it."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hostile.outcome_record import note

from llm_export import api
from llm_export.stage_cache.blobs import Damaged
from llm_export.stage_cache.file_digests import Digests
from llm_export.stage_cache.source_digest import Sources
from llm_export.stage_cache.store import Cache, Entry
from llm_export.stage_cache.unfailing import unfailing

Damage = Callable[[Path], object]


def flipped(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").touch()


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


FILE: dict[str, Damage] = {
    "a folder": as_folder,
    "a link to itself": lambda p: as_link(p, p.name),
    "a link to nothing": lambda p: as_link(p, "nothing"),
    "a FIFO": as_fifo,
    "empty": lambda p: p.write_bytes(b""),
    "half": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "no text": lambda p: p.write_bytes(b"\xff\xfe\x00"),
    "a number": lambda p: p.write_text("1"),
    "a list": lambda p: p.write_text("[[], {}]\n[1]\n"),
    "other keys": lambda p: p.write_text('{"a": 1}\n{"b": null}\n'),
    "deep": lambda p: p.write_text("[" * 100_000),
    "gone": lambda p: p.unlink(),
    "unreadable": lambda p: p.chmod(0),
}


def filled(folder: Path) -> Cache:
    cache = Cache(folder / "cache", 10**9)
    for key in ("one", "two"):
        (folder / key).write_text(key * 100)
        (folder / "shared").write_text("both")
        files = {"own": folder / key, "shared": folder / "shared"}
        cache.add(Entry(key, "lower", "r", "now", 1.0), files, files)
    return cache


@pytest.mark.parametrize("kind", FILE)
def test_damaged_files_of_the_cache(tmp_path: Path, kind: str) -> None:
    """Each operation works or says Damaged; what is damaged is removed, and can be stored again."""
    for place in ("entries/one.json", "blobs"):
        folder = tmp_path / place.replace("/", "-")
        folder.mkdir()
        cache = filled(folder)
        target = cache.folder / place
        if place == "blobs":
            entry = cache.find("one")
            assert entry is not None
            target /= entry.files["own"].sha256
            cache.release()
        FILE[kind](target)
        assert _taken(cache, folder / "out1") in (None, "damaged") or kind == "unreadable"
        cache.drop("one")
        assert _taken(cache, folder / "out2") is None
        files = {"own": folder / "one", "shared": folder / "shared"}
        cache.add(Entry("one", "lower", "r", "now", 1.0), files, files)
        assert _taken(cache, folder / "out3") == "whole"
        assert _taken(cache, folder / "out4", "two") == "whole"
        cache.release()
        assert cache.remove(cache.entries()) == (2, 0)
        note("files of the stage cache", held=1)


def _taken(cache: Cache, folder: Path, key: str = "one") -> str | None:
    """What a run does with an entry."""
    try:
        entry = cache.find(key)
        if entry is None:
            return None
        cache.place(entry.bundle, folder)
        for blob in entry.files.values():
            cache.checked(blob)
    except Damaged as damage:
        cache.drop(key, damage)
        return "damaged"
    return "whole"


def test_memos_that_are_not_as_they_were_written(tmp_path: Path) -> None:
    """One flipped bit, and every kind of file in their place: the digests stay right."""
    chance, package = random.Random(5), tmp_path / "pack"
    package.mkdir()
    texts = {"__init__": "", "a": "import pack.b", "b": "from pack import c", "c": ""}
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    memo, weights, files = tmp_path / "sources.json", tmp_path / "weights", tmp_path / "files.json"
    weights.write_text("weights")
    os.utime(weights, (1, 1))

    def digests() -> tuple[str, str]:
        known, sources = Digests(files), Sources(memo, {"pack": package})
        made = sources.digest("pack.a"), known.of(weights)
        known.save()
        if files.is_file() and memo.is_file():
            damage.append(known.damage + sources.damage)
        return made

    damage: list[str] = []
    right, whole = digests(), (memo.read_bytes(), files.read_bytes())
    count = 0
    for number in range(65):
        for path, data in zip((memo, files), whole, strict=True):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            if number < 52:
                flipped(path, chance)
            else:
                FILE[list(FILE)[number % len(FILE)]](path)
        assert digests() == right
        assert digests() == right, "after the repair"
        assert not damage[-1], "it was repaired"
        count += 1
    assert any("damaged" in text for text in damage)
    files.write_text("{}")
    Digests(files).save()  # without a look at any file
    assert Digests(files).damage == ""
    note("memos of the stage cache", held=count)


@pytest.mark.parametrize("room", [0, 1, 20_000, 200_000])
def test_a_full_disk_does_not_end_the_process(tmp_path: Path, room: int) -> None:
    """A limit on the size of files stands for the disk."""
    require_no_abort(room, lambda: _save(tmp_path / "model.pt", torch.save, torch.zeros(1 << 20)))


@pytest.mark.slow
def test_a_full_disk_under_a_graph(tmp_path: Path) -> None:
    """Where ``torch.export.save`` to a path calls abort()."""
    graph = torch.export.export(torch.nn.Linear(300, 300), (torch.zeros(1, 300),))
    for room in (1, 20_000, 200_000):
        require_no_abort(room, lambda: _save(tmp_path / "a.pt2", torch.export.save, graph))
    _save(tmp_path / "graph.pt2", torch.export.save, graph)
    again = torch.export.load(tmp_path / "graph.pt2")
    assert torch.equal(again.state_dict["weight"], graph.state_dict["weight"])


def _save(path: Path, save: Callable[..., object], value: object) -> None:
    with unfailing(path) as file:
        save(value, file)


def require_no_abort(room: int, save: Callable[[], object]) -> None:
    """``save`` raises OSError in a process whose files have at most ``room`` bytes."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            try:
                save()
            except OSError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    note("full disks under the stage cache", held=1)


def test_a_file_that_does_not_fail_is_whole(tmp_path: Path) -> None:
    with unfailing(tmp_path / "model.pt") as file:
        torch.save({"a": torch.arange(1 << 16)}, file)
    assert torch.load(tmp_path / "model.pt")["a"].sum() == sum(range(1 << 16))


WORDS = ["model=tiny", "backend=portable", "runtime=static"]


def _taken_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def _all_in(folder: Path, damage: Damage) -> None:
    for path in folder.iterdir():
        damage(path)


RUNS: dict[str, Damage] = {
    "blobs are folders": lambda c: _all_in(c / "blobs", as_folder),
    "a memo has wrong types": lambda c: (c / "sources.json").write_text('{"x": {"y": 3}}'),
    "entries are folders": lambda c: _all_in(c / "entries", as_folder),
    "blobs are gone": lambda c: _all_in(c / "blobs", Path.unlink),
    "the lock is a folder": lambda c: as_folder(c / "lock"),
    "the folder of blobs is a file": lambda c: _taken_by_a_file(c / "blobs"),
    "the cache is a file": _taken_by_a_file,
}


SILENT = ("the lock is a folder",)
"""Finished stages are reused in spite of it, and there is nothing to keep."""


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(list(RUNS)[:2], marks=pytest.mark.slow),
        pytest.param(list(RUNS)[2:], marks=pytest.mark.release),
    ],
)
def test_runs_go_on(
    stage_cache: Path, tmp_path: Path, kinds: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    def run() -> list[str]:
        with api.run(None, WORDS, until="quantize", out=tmp_path / "o") as result:
            return result.record.reused

    run()
    for kind in kinds:
        capfd.readouterr()
        RUNS[kind](stage_cache)
        run()
        assert kind in SILENT or "cache: " in capfd.readouterr().err, kind
        note("runs with a damaged cache", held=1)
    if "memo" in kinds[-1]:
        capfd.readouterr()
        assert run() == ["load", "transform", "train", "quantize"], "it was repaired"
        assert "cache: " not in capfd.readouterr().err
