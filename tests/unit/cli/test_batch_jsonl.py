"""JSONL in, JSONL out: order, errors of lines, groups, progress."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_export.cli.batch_jsonl import add_batch, each, run_batch
from llm_export.errors import BundleError, RecipeError
from runtime_py.errors import ArgumentError

Data = dict[str, Any]


def upper(data: Data) -> Data:
    if not isinstance(data["text"], str):
        raise ArgumentError("text must be a string", fix="write it in quotes")
    if data["text"] == "file":
        raise ArgumentError("it cannot be read", where="a.wav")
    if data["text"] == "recipe":
        raise RecipeError("no such recipe")
    return {"upper": data["text"].upper()}


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_batch(parser, '{"id": 1, "text": "..."}')
    return parser.parse_args(words)


def batch(folder: Path, text: str, **more: Any) -> tuple[int, list[Data]]:
    """The exit code, and the objects of --out."""
    (folder / "in.jsonl").write_text(text, encoding="utf-8", errors="surrogateescape")
    given = options("--batch", str(folder / "in.jsonl"), "--out", str(folder / "out.jsonl"))
    code = run_batch(given, more.pop("answers", each(upper)), needs=("text",), **more)
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    return code, [json.loads(line) for line in lines]


def test_results_stand_in_order_with_their_ids(tmp_path: Path) -> None:
    code, lines = batch(tmp_path, '{"id": "b", "text": "ä"}\n\n{"text": "y"}\n', group=8)
    assert (code, lines) == (0, [{"id": "b", "upper": "Ä"}, {"upper": "Y"}])


@pytest.mark.parametrize("group", [1, 2, 9])
def test_a_line_that_fails_says_why_and_leaves_the_others(tmp_path: Path, group: int) -> None:
    texts = [
        '{"id": 1, "text": "a"}', "{", "[1]", '{"id": 4}', '{"id": 5, "text": 5}',
        '{"id": 6, "text": "recipe"}', '{"text": "\udcff"}', '{"text": "\\ud800"}',
        '{"id": 9, "text": "z"}',
    ]  # fmt: skip
    code, lines = batch(tmp_path, "\n".join(texts), group=group)
    assert code == 1
    assert lines[0] == {"id": 1, "upper": "A"}
    assert lines[-1] == {"id": 9, "upper": "Z"}
    assert lines[1]["error"].startswith("line 2 is no JSON: ")
    assert lines[2] == {"line": 3, "error": "line 3 is no JSON object but [1]"}
    assert lines[3] == {"id": 4, "error": "line 4 has no 'text'"}
    assert lines[4] == {"id": 5, "error": "text must be a string; write it in quotes"}
    assert lines[5] == {"id": 6, "error": "no such recipe"}
    assert lines[6]["error"] == "line 7 is no UTF-8; convert the file"
    assert lines[7]["error"] == "line 8 is no UTF-8; convert the file"


def test_keys_that_are_not_known_are_refused_by_line(tmp_path: Path) -> None:
    text = '{"text": "a", "langage": "de"}\n{"id": 2, "text": "b", "language": "de"}\n'
    code, (wrong, right) = batch(tmp_path, text, takes=("language",))
    assert (code, right) == (1, {"id": 2, "upper": "B"})
    assert wrong == {
        "line": 1,
        "error": "line 1 has keys that are not known: 'langage'; a line may have id, text, "
        "language",
    }


def test_a_group_is_answered_at_once(tmp_path: Path) -> None:
    sizes = []

    def answers(group: Sequence[Data]) -> Iterable[Data]:
        sizes.append(len(group))
        return [{"n": len(data["text"])} for data in group]

    text = "".join(json.dumps({"text": "x" * n}) + "\n" for n in range(5))
    assert batch(tmp_path, text, answers=answers, group=2) == (0, [{"n": n} for n in range(5)])
    assert sizes == [2, 2, 1]


def test_standard_input_and_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"text": "a"}\n{"text": 1}'))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run_batch(options("--batch", "-"), each(upper)) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == '{"upper": "A"}'
    assert "2, 1 failed, " in err
    assert err.endswith(" lines/s\n")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = str(tmp_path / "in.jsonl")
    with pytest.raises(BundleError, match=r"in\.jsonl cannot be read: No such file"):
        run_batch(options("--batch", path), each(upper))
    with pytest.raises(BundleError, match="--out names the file of --batch"):
        run_batch(options("--batch", path, "--out", path), each(upper))
    (tmp_path / "in.jsonl").write_text("")
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with pytest.raises(BundleError, match="--out names the file of --batch"):
        run_batch(options("--batch", path, "--out", str(link)), each(upper))
    with pytest.raises(BundleError, match="cannot be written: Is a directory"):
        run_batch(options("--batch", path, "--out", str(tmp_path)), each(upper))


def test_results_never_replace_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    given = options("--batch", "in.jsonl", "--out", str(tmp_path / "in.jsonl"))
    with pytest.raises(BundleError, match="--out names the file of --batch"):
        run_batch(given, each(upper))
    assert (tmp_path / "in.jsonl").read_text(encoding="utf-8") == '{"text": "a"}'


def test_an_error_names_its_file(tmp_path: Path) -> None:
    assert batch(tmp_path, '{"text": "file"}') == (
        1, [{"line": 1, "error": "it cannot be read (a.wav)"}]
    )  # fmt: skip
