"""The cache of finished stages: content, locks, limits, damage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_export.errors import InputError
from llm_export.stage_cache.blobs import Damaged
from llm_export.stage_cache.settings import SIZE, open_cache, size_limit, stages_folder
from llm_export.stage_cache.store import Cache, Entry, TooLarge

LARGE = 1 << 40


def add(cache: Cache, key: str, content: str, folder: Path, **files: str) -> Entry:
    """An entry with one file of the bundle, and ``files`` of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"{key}.pte"
    program.write_text(content)
    own = {}
    for name, text in files.items():
        own[name] = folder / f"{key}-{name}"
        own[name].write_text(text)
    entry = Entry(key, "lower", "recipe", "2026-01-01", 1.5, {"n": 1})
    return cache.add(entry, own, {"sub/model.pte": program})


def blobs(cache: Cache) -> list[Path]:
    return sorted((cache.folder / "blobs").iterdir())


def run_python(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_what_is_added_is_found_and_placed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    assert cache.find("k") is None
    add(cache, "k", "program", tmp_path / "made", note="own")
    (tmp_path / "made" / "k.pte").write_text("changed by its owner")
    entry = cache.find("k")
    assert entry is not None
    assert (entry.stage, entry.recipe, entry.seconds, entry.facts) == (
        "lower", "recipe", 1.5, {"n": 1},
    )  # fmt: skip
    cache.place(entry.bundle, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "model.pte").read_text() == "program"
    assert cache.checked(entry.files["note"]).read_text() == "own"


def test_what_is_placed_may_be_edited(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    entry = add(cache, "k", "program", tmp_path / "made")
    cache.place(entry.bundle, tmp_path / "out")
    (tmp_path / "out" / "sub" / "model.pte").write_text("edited")
    cache.place(entry.bundle, tmp_path / "out2")
    assert (tmp_path / "out2" / "sub" / "model.pte").read_text() == "program"


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    for key in ("a", "b", "c"):
        add(cache, key, "x" * 1000, tmp_path / "made")
    assert len(blobs(cache)) == 1
    assert cache.size(cache.entries()) == 1000
    cache.remove([e for e in cache.entries() if e.key != "c"])
    assert len(blobs(cache)) == 1
    cache.remove(cache.entries())
    assert blobs(cache) == []


@pytest.mark.parametrize("damage", ["flipped", "shorter", "gone"])
def test_a_damaged_file_is_noticed_and_made_anew(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    entry = add(cache, "k", "program", tmp_path / "made")
    (path,) = blobs(cache)
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("prograM" if damage == "flipped" else "pro")
    what = "a file is missing" if damage == "gone" else "a file has another sha256"
    with pytest.raises(Damaged, match=what):
        cache.checked(entry.bundle["sub/model.pte"])
    with pytest.raises(Damaged, match=what) as found:
        cache.place(entry.bundle, tmp_path / "out")
    assert not (tmp_path / "out" / "sub" / "model.pte").exists()
    cache.drop("k", found.value)
    assert cache.find("k") is None
    assert blobs(cache) == []
    entry = add(cache, "k", "program", tmp_path / "made")
    cache.place(entry.bundle, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "model.pte").read_text() == "program"


def test_a_damaged_file_goes_from_all_that_name_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    first = add(cache, "a", "program", tmp_path / "made")
    add(cache, "b", "program", tmp_path / "made")
    blobs(cache)[0].write_text("prograM")
    with pytest.raises(Damaged) as found:
        cache.place(first.bundle, tmp_path / "out")
    cache.drop("a", found.value)
    # Made anew, the file is right for the other entry too.
    add(cache, "a", "program", tmp_path / "made")
    other = cache.find("b")
    assert other is not None
    cache.place(other.bundle, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "{", '{"sha256": "0"}\n{}\n'])
def test_a_damaged_entry_is_noticed(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    add(cache, "k", "program", tmp_path / "made")
    (cache.folder / "entries" / "k.json").write_text(text)
    with pytest.raises(Damaged, match="the entry cannot be read"):
        cache.find("k")
    assert cache.entries() == []


def test_an_entry_with_one_other_letter_is_damaged(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    add(cache, "k", "program", tmp_path / "made")
    path = cache.folder / "entries" / "k.json"
    path.write_text(path.read_text().replace('"recipe": "recipe"', '"recipe": "recipf"'))
    with pytest.raises(Damaged):
        cache.find("k")


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", 3000)
    for age, key in ((30, "a"), (20, "b"), (10, "c")):
        add(cache, key, key * 1000, tmp_path / "made")
        then = time.time() - age
        os.utime(cache.folder / "entries" / f"{key}.json", (then, then))
    assert cache.find("a") is not None
    cache.release()
    add(cache, "d", "d" * 1000, tmp_path / "made")
    assert {e.key for e in cache.entries()} == {"a", "c", "d"}
    assert len(blobs(cache)) == 3


def test_what_exceeds_the_limit_alone_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", 100)
    add(cache, "a", "a" * 90, tmp_path / "made")
    with pytest.raises(TooLarge):
        add(cache, "b", "b" * 101, tmp_path / "made")
    assert [e.key for e in cache.entries()] == ["a"]


def test_what_another_process_uses_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", LARGE)
    add(cache, "k", "program", tmp_path / "made")
    code = (
        "import sys; from pathlib import Path; from llm_export.stage_cache.store import Cache\n"
        "cache = Cache(Path(sys.argv[1]), 1 << 40); print(cache.find('k').key, flush=True)\n"
        "sys.stdin.read()"
    )
    other = run_python(code, str(cache.folder))
    try:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "k"
        assert cache.remove(cache.entries()) == (0, 1)
        assert cache.find("k") is not None
        cache.release()
    finally:
        other.communicate("")
    assert cache.remove(cache.entries()) == (1, 0)


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    """Both write the same and other entries over a limit that makes them evict all the time."""
    code = """
import sys
from pathlib import Path
from llm_export.stage_cache.blobs import Damaged
from llm_export.stage_cache.store import Cache, Entry
who, folder = sys.argv[1], Path(sys.argv[2])
cache, made = Cache(folder / "c", 20_000), folder / who
made.mkdir()
found = 0
for turn in range(60):
    key = f"key{turn % 12 if turn % 3 else 0}"
    entry = cache.find(key)
    if entry is not None:
        try:
            cache.place(entry.bundle, made / "out")
            assert (made / "out" / "f").read_text() == key * 500
            found += 1
        except Damaged as damage:
            assert "missing" in damage.what, damage
    cache.release()
    (made / "f").write_text(key * 500)
    cache.add(Entry(key, "lower", who, "", 0.0), {}, {"f": made / "f"})
print(found)
"""
    both = [run_python(code, who, str(tmp_path)) for who in ("one", "two")]
    for process in both:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert int(said) > 0
    cache = Cache(tmp_path / "c", 20_000)
    entries = cache.entries()
    assert 0 < cache.size(entries) <= 20_000
    assert {p.name for p in blobs(cache)} == {sha for e in entries for sha in e.blobs}


def test_a_killed_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from llm_export.stage_cache.store import Cache\n"
        "cache = Cache(Path(sys.argv[1]), 1 << 40)\n"
        "with cache.scratch() as scratch:\n"
        "    (scratch / 'half').write_text('half'); print('ready', flush=True)\n"
        "    sys.stdin.read()"
    )
    cache = Cache(tmp_path / "c", LARGE)
    writer = run_python(code, str(cache.folder))
    assert writer.stdout is not None
    assert writer.stdout.readline().strip() == "ready"
    add(cache, "a", "program", tmp_path / "made")
    scratch = cache.folder / "tmp"
    assert len(list(scratch.iterdir())) == 1  # of a writer that lives
    writer.kill()
    writer.communicate()
    assert cache.find("half") is None
    add(cache, "b", "program", tmp_path / "made")
    assert list(scratch.iterdir()) == []


def test_a_file_without_an_entry_goes_with_the_next_change(tmp_path: Path) -> None:
    """A writer that was killed between its two renames."""
    cache = Cache(tmp_path / "c", LARGE)
    add(cache, "a", "program", tmp_path / "made")
    (cache.folder / "blobs" / ("0" * 64)).write_text("nobody's")
    add(cache, "b", "program", tmp_path / "made")
    assert len(blobs(cache)) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 gib", 3 << 29), ("300", 300), ("0", 0), ("5mb", 5_000_000)],
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv(SIZE, text)
    assert size_limit() == size


def test_a_wrong_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE, "much")
    with pytest.raises(InputError, match="'much' is no size") as error:
        size_limit()
    assert error.value.where == SIZE
    assert "20GB" in str(error.value.fix)


def test_the_folder_and_the_switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "c"))
    assert stages_folder() == tmp_path / "c" / "stages"
    monkeypatch.delenv("LLM_EXPORT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert stages_folder() == tmp_path / "x" / "llm_export" / "stages"
    monkeypatch.setenv(SIZE, "0")
    assert open_cache() is None
    monkeypatch.setenv(SIZE, "1GB")
    opened = open_cache()
    assert opened is not None
    assert opened.limit == 10**9
