"""`llm-export embed`, and `python -m runtime_py embed`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import embed_bundles
import numpy
import pytest
import torch
from embed_bundles import expected

from llm_export import api
from llm_export.cli.main import main
from llm_export.errors import BundleError
from runtime_py import __main__ as runtime

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(embed_bundles.make, "bundle that embeds")


@pytest.fixture
def say(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """say(*words) -> (code, stdout, stderr) of the verb with the bundle"""

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main(["embed", str(bundle), *map(str, words)])
        return (code, *capsys.readouterr())

    return run


def rows(text: str) -> torch.Tensor:
    return torch.tensor([json.loads(line)["embedding"] for line in text.splitlines()])


def test_texts_as_json(say: Callable[..., Said], bundle: Path) -> None:
    code, out, err = say("the sun", "a cat " * 9, "--stats")
    assert code == 0
    assert torch.allclose(rows(out), expected(["the sun", "a cat " * 9]), atol=1e-6)
    first, second = map(json.loads, out.splitlines())
    assert (first["text"], "truncated" in first, second["truncated"]) == ("the sun", False, True)
    assert "[2 texts of 16 tokens, 1 cut off, " in err
    assert torch.equal(api.embed(bundle, "sun"), api.load_embedder(bundle).embed(["sun"]))


def test_lines_of_a_file_and_of_standard_input(
    say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lines.txt").write_text("the sun\n\na dog ran\n")
    code, out, _ = say("--file", tmp_path / "lines.txt", "--dimensions", 8)
    assert (code, rows(out).shape) == (0, (2, 8))
    monkeypatch.setattr(sys, "stdin", io.StringIO("moon\n"))
    assert torch.allclose(rows(say("--prompt", "query")[1]), expected(["query: moon"]), atol=1e-6)
    (tmp_path / "lines.txt").write_text("the\fsun\na dog ran\n")
    assert len(rows(say("--file", tmp_path / "lines.txt")[1])) == 2


def test_an_array(say: Callable[..., Said], tmp_path: Path) -> None:
    assert say("sun", "moon", "--format", "npy", "--out", tmp_path / "a.npy")[0] == 0
    found = torch.from_numpy(numpy.load(tmp_path / "a.npy"))
    assert torch.allclose(found, expected(["sun", "moon"]), atol=1e-6)


def test_search(say: Callable[..., Said], tmp_path: Path) -> None:
    texts = ["the sun shines", "a dog ran", "rain falls at night", "the moon shines at night"]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    code, out, _ = say("--file", tmp_path / "lines.txt", "--query", "a dog", "--top", 2)
    values = expected(["query: a dog"]) @ expected([f"passage: {text}" for text in texts]).T
    near, places = values[0].topk(2)
    wanted = [f"{v:.4f}  {texts[p]}" for v, p in zip(near.tolist(), places.tolist(), strict=True)]
    assert (code, out.splitlines()) == (0, wanted)


def test_a_batch(say: Callable[..., Said], tmp_path: Path) -> None:
    lines = [{"id": n, "text": f"the sun {'moon ' * n}"} for n in range(6)]
    lines[3]["text"] = 3
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    assert say("--batch", source, "--out", out)[0] == 1
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in found] == list(range(6))
    assert found[3] == {"id": 3, "error": "text 0 must be a str, not int"}
    assert found[2]["tokens"] == 6
    assert torch.allclose(
        torch.tensor([found[5]["embedding"]]), expected([str(lines[5]["text"])]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "--file", "b"], "give texts, --file or --batch, not several of them"),
        (["--batch", "a", "--query", "b"], "--query searches texts or --file, not --batch"),
        (["--query", "b", "--format", "npy"], "--format npy is for embeddings of texts or --file"),
        (["a", "--top", "0"], "--top must be a whole number from 1, not 0"),
        (["--file", "nowhere.txt"], "nowhere.txt cannot be read: No such file"),
        (["a", "--dimensions", "5"], "dimensions must be one of 16, 8, not 5"),
        (["cat " * 40, "--no-truncate"], "text 0 has 42 tokens; the model takes 12"),
        (["a", "--out", "/nowhere/x"], "/nowhere/x cannot be written: No such file"),
    ],
)
def test_what_is_wrong(say: Callable[..., Said], words: list[str], message: str) -> None:
    code, _, err = say(*words)
    assert code == 2
    assert message in err


def test_nothing_to_embed(say: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "there is no text" in say()[2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"))
    assert "standard input is no UTF-8" in say()[2]
    with pytest.raises(BundleError, match="there is no such bundle"):
        api.embed("nowhere", "a")


def test_the_runtime_alone(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runtime.main(["embed", str(bundle), "sun"]) == 0
    assert torch.allclose(rows(capsys.readouterr().out), expected(["sun"]), atol=1e-6)
    assert runtime.main(["embed", str(bundle), "a", "--file", "b"]) == 2
    assert "not several of them" in capsys.readouterr().err
