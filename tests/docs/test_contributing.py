"""CONTRIBUTING says where things go; an addition of each kind goes there and is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from contributing_files import HELPERS
from contributing_samples import ELSEWHERE, REPO, SAMPLES, Sample

TREE = ("llm_export", "runtime_py", "conf", "recipes", "docs_tools")
FILES = ("setup.cfg", "tests/family_models.py")
_RUN = """
import json, sys, traceback
helpers, samples = json.loads(sys.stdin.read())
space, failed = {}, {}
exec(helpers, space)
for name, code in samples.items():
    try:
        exec(code, space)
    except Exception:
        failed[name] = traceback.format_exc()
print(json.dumps([space["api"].__file__, failed]))
"""


def rows() -> dict[str, str]:
    """What is to be added -> the rest of its row."""
    text = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| to add |")[2].partition("\n\n")[0].splitlines()[2:]
    return dict(line.removeprefix("| ").split(" | ", 1) for line in table)


def patterns(row: str) -> list[str]:
    """The files that a row names, as regular expressions of the end of a path."""
    named = [p for quoted in re.findall(r"`([^`]+)`", row) for p in quoted.split() if "." in p]
    escaped = [re.escape(name).replace(r"\*", r"\w*") for name in named]
    return [re.sub(r"NAME|GROUP", r"\\w+", name) for name in escaped]


def is_named(path: str, row: str) -> bool:
    return any(re.search(f"(^|/){pattern}$", path) for pattern in patterns(row))


def test_every_row_has_a_sample() -> None:
    assert set(rows()) == {*SAMPLES, *ELSEWHERE}
    assert all((REPO / file).is_file() for file in ELSEWHERE.values())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_touches_only_what_its_row_names(name: str) -> None:
    row, sample = rows()[name], SAMPLES[name]
    touched = [*sample.files, *sample.lines]
    assert [path for path in touched if not is_named(path, row)] == []
    assert not is_named("llm_export/errors.py", row)


def test_files_that_the_table_names_are_there() -> None:
    """All but those that are still to be written, which have NAME in them."""
    found = (
        p for part in (*TREE, "tests", "docs", "benchmarks") for p in (REPO / part).rglob("*.*")
    )
    files = ["setup.cfg", *(str(p.relative_to(REPO)) for p in found)]
    missing = [
        pattern
        for row in rows().values()
        for pattern in patterns(row)
        if not any(re.search(f"(^|/){pattern}$", file) for file in files)
    ]
    assert missing == []


def copy_tree(folder: Path) -> None:
    """Hard links where both are on one disk; what is edited is replaced. Compiled modules go along:
    their sources' times and sizes say which still hold."""
    one_disk = folder.stat().st_dev == REPO.stat().st_dev
    for part in TREE:
        for source in (REPO / part).rglob("*"):
            if source.is_file():
                place = folder / source.relative_to(REPO)
                place.parent.mkdir(parents=True, exist_ok=True)
                if one_disk:
                    place.hardlink_to(source)
                else:
                    shutil.copy2(source, place)
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((REPO / file).read_bytes())
    # As setup.cfg maps them.
    for part in ("conf", "recipes"):
        (folder / "llm_export" / part).symlink_to(folder / part)


def add(folder: Path, sample: Sample) -> None:
    for path, text in sample.files.items():
        assert not (folder / path).exists(), f"{path} is there already"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    for path, (before, added) in sample.lines.items():
        text = (folder / path).read_text(encoding="utf-8")
        assert before in text, f"{path} does not hold {before!r}"
        head, _, tail = text.partition(before) if before else (text, "", "")
        (folder / path).unlink()
        (folder / path).write_text(head + before + added + tail, encoding="utf-8")


def test_each_sample_is_found(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    for sample in SAMPLES.values():
        add(tmp_path, sample)
    checks = {name: sample.found for name, sample in SAMPLES.items()}
    done = subprocess.run(
        [sys.executable, "-c", _RUN], input=json.dumps([HELPERS, checks]), cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place, failed = json.loads(done.stdout.splitlines()[-1])
    assert Path(place).is_relative_to(tmp_path)
    assert failed == {}, "\n".join(f"{name}:\n{said}" for name, said in failed.items())
