"""Artifacts of several runtimes, measured in turns and compared with the first.

``Paced`` is a runtime like those of plugins, whose artifact says how fast it is. All else is real:
each turn is a process of its own.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_export import api
from llm_export.cli.main import main
from llm_export.errors import BundleError, LlmExportError, RecipeError
from llm_export.runtimes import RUNTIMES, words
from llm_export.runtimes.artifact import artifact, artifacts

SCHEMA = json.loads(
    resources.files("llm_export.runtimes").joinpath("speeds.schema.json").read_text("utf-8")
)
PACED = """
import json
from pathlib import Path


class Paced:
    package = "paced"

    @staticmethod
    def accepts(path):
        return path.suffix == ".paced"

    def __init__(self, path, threads, context):
        told = json.loads(path.read_text())
        __import__(told.get("needs", "json"))
        if told.get("fails"):
            raise RuntimeError("no such model\\nat all")
        assert context > 16
        # Another turn of the same artifact is a little faster.
        self.speed = told["speed"] * 1.01
        if not told.get("steady"):
            path.write_text(json.dumps({**told, "speed": self.speed}))

    def generated(self, ids, count):
        assert max(ids) < 30_000
        return (len(ids) + 2 * count) / self.speed


RUNTIME = Paced
"""


@pytest.fixture(scope="module", autouse=True)
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "paced_runtime.py").write_text(PACED)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setitem(RUNTIMES._entries, "paced", "paced_runtime:RUNTIME")
        patch.setitem(RUNTIMES._origins, "paced", "a test")
        yield


def write(file: Path, **told: Any) -> Path:
    file.write_text(json.dumps({"speed": 1000.0, **told}))
    return file


LENGTHS: dict[str, Any] = {
    "prompt_length": [8, 16], "decode_length": 4, "depth": 8, "threads": 1, "warmup": 0,
    "repetitions": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("artifacts")
    said: list[str] = []
    result = api.compare_speed(
        [
            str(write(folder / "lame.paced", needs="no_such_package")),
            str(write(folder / "one.paced")),
            f"{write(folder / 'two.paced', speed=500.0)}@{sys.executable}",
            f"same:paced={write(folder / 'three.paced')}",
            str(write(folder / "broken.paced", fails=True)),
        ],
        rounds=3, progress=said.append, **LENGTHS,
    )  # fmt: skip
    # What fails once takes no further turn.
    assert said == [
        "round 1 of 3: lame.paced", "round 1 of 3: one.paced", "round 1 of 3: two.paced",
        "round 1 of 3: same", "round 1 of 3: broken.paced",
        *(f"round {n} of 3: {name}" for n in (2, 3) for name in ("one.paced", "two.paced", "same")),
    ]  # fmt: skip
    again: dict[str, Any] = json.loads(json.dumps(result))
    return again


def test_ratios_are_to_the_first_that_runs(found: dict[str, Any]) -> None:
    jsonschema.validate(found, SCHEMA)
    assert [note.partition(": a prompt after other tokens is the difference")[0]
            for note in found["notes"]] == ["one.paced", "two.paced", "same"]  # fmt: skip
    lame, one, two, same, broken = found["artifacts"]
    assert (lame["skipped"], lame["tests"]) == ("no_such_package is not installed there", [])
    assert lame["install"] == f"{sys.executable} -m pip install paced"
    assert broken["skipped"] == "RuntimeError: no such model"
    for test, prompt in zip(one["tests"], (8, 16), strict=True):
        # 8 tokens are there before the prompt; a token that is generated takes as long as two.
        assert (test["prompt_length"], test["depth"]) == (prompt, 8)
        assert test["prefill_tokens_per_second"]["median"] == pytest.approx(1000 * 1.01**2)
        assert test["decode_tokens_per_second"]["median"] == pytest.approx(500 * 1.01**2)
        assert (test["prefill_ratio"], test["decode_ratio"]) == (None, None)
    for test in two["tests"]:
        ratio = test["decode_ratio"]
        assert ratio["value"] == pytest.approx(0.5)
        assert ratio["low"] <= ratio["value"] <= ratio["high"]
        assert ratio["significant"]
    assert same["tests"][0]["prefill_ratio"]["value"] == pytest.approx(1)


def test_every_form_has_every_artifact(found: dict[str, Any]) -> None:
    assert json.loads(words.text(found, "json")) == found
    lines = [json.loads(line) for line in words.text(found, "jsonl").splitlines()]
    rows = list(csv.DictReader(io.StringIO(words.text(found, "csv"))))
    assert [row["label"] for row in rows] == ["one.paced"] * 2 + ["two.paced"] * 2 + ["same"] * 2
    assert [line["decode_ratio.significant"] for line in lines][2:4] == [True, True]
    for form in ("table", "markdown"):
        assert "0.50* (0.50 to 0.50)" in words.text(found, form)
    assert any(line.startswith("two.paced: prefill of 8 + 4 at depth 8 is 0.50 times as fast")
               for line in words.findings(found))  # fmt: skip
    assert (
        "lame.paced skipped: no_such_package is not installed there\n  install: "
        in (words.skipped(found)[0])
    )


def test_an_interrupted_measurement_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, turns = write(tmp_path / "a.paced", steady=True), tmp_path / "turns.jsonl"
    words = ["bench", str(file), str(file), "--prompt-length", "8,16", "--decode-length", "4",
             "--depth", "8", "--threads", "1", "--warmup", "0", "--repetitions", "1", "--json",
             "--resume", str(turns)]  # fmt: skip
    assert main([*words, "--rounds", "1"]) == 0
    first = capsys.readouterr()
    assert len(turns.read_text().splitlines()) == 2
    began, ended = first.err.splitlines()[:2]  # no terminal: a line for each
    assert began == f"round 1 of 1: paced:{file}@{sys.executable} (1)"
    assert re.match(r"round 1 of 1: .*: prefill 1010\.0, decode 505\.0 tokens/s; \d s", ended)
    with turns.open("a") as lines:
        lines.write('{"turn": cut')
    lines_before = turns.read_text()
    assert main([*words, "--rounds", "1"]) == 0
    again = capsys.readouterr()
    assert again.err.splitlines()[0].endswith("tokens/s; kept")
    assert turns.read_text() == lines_before
    one, two = (json.loads(said.out)["artifacts"][1] for said in (first, again))
    assert two == one
    assert main([*words, "--rounds", "2"]) == 0
    assert len(turns.read_text().splitlines()) == 4, "the line that was cut off is gone"
    capsys.readouterr()
    turns.write_text(f"no turn\n{lines_before}")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "line 1 is no turn" in said
    assert "another file, or delete it" in said
    for other in ("no turn\n", '{"a": 1}'):  # which must not be overwritten
        turns.write_text(other)
        assert main(words) == 2
        assert "line 1 is no turn" in capsys.readouterr().err
        assert turns.read_text() == other
    assert main([*words[:-1], str(turns / "below.jsonl")]) == 2
    assert "below.jsonl" in capsys.readouterr().err


@pytest.mark.slow
def test_a_bundle_beside_a_plain_program(quantized_bundle: Path) -> None:
    """The same file in this project's runtime and as any other .pte."""
    found = api.compare_speed(
        [str(quantized_bundle), f"plain:executorch={quantized_bundle / 'model.pte'}"],
        prompt_length=8, decode_length=2, rounds=1, warmup=0, repetitions=1, threads=1,
    )  # fmt: skip
    jsonschema.validate(found, SCHEMA)
    assert [one["runtime"] for one in found["artifacts"]] == ["bundle", "executorch"]
    ratio = found["artifacts"][1]["tests"][0]["decode_ratio"]
    assert ratio["value"] > 0
    assert (ratio["low"], ratio["significant"]) == (None, False)


def test_when_none_runs_it_says_why(tmp_path: Path) -> None:
    file = write(tmp_path / "a.paced", needs="no_such_package")
    with pytest.raises(LlmExportError, match=r"none of them runs here: a\.paced: no_such_package"):
        api.compare_speed([str(file)], rounds=1, **LENGTHS)


def test_artifacts_are_told_by_their_look(tmp_path: Path) -> None:
    (tmp_path / "ov").mkdir()
    for name, runtime in (
        ("bundle/manifest.json", "bundle"), ("m.pte", "executorch"), ("m.gguf", "llama.cpp"),
        ("ort/genai_config.json", "onnxruntime-genai"), ("ov/openvino_model.xml", "openvino-genai"),
        ("ct/model.bin", "ctranslate2"),
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        if runtime == "ctranslate2":
            (file.parent / "vocabulary.json").touch()
        path = file if file.suffix in (".pte", ".gguf") else file.parent
        assert artifact(str(path)).runtime == runtime
    found = artifact(f"mine:openvino-genai={tmp_path / 'm.gguf'}@{sys.executable}")
    assert (found.label, found.runtime, found.python) == ("mine", "openvino-genai", sys.executable)
    twice = artifacts([str(tmp_path / "m.gguf"), f"openvino-genai={tmp_path / 'm.gguf'}"] * 2)
    assert len({one.label for one in twice}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{0}/none.gguf", "no such file or folder"),
        ("{0}", "no runtime takes this by its look"),
        ("llama.cp={0}", "there is no runtime 'llama.cp'"),
        ("llama.cpp={0}@{0}/python", "is no interpreter"),
    ],
)
def test_what_is_no_artifact_is_told(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=expected):
        artifact(text.format(tmp_path))


def test_options_of_the_other_form_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write(tmp_path / "a.paced"))
    assert main(["bench", file, file, "--sustained", "5"]) == 2
    assert "--sustained is for a single bundle" in capsys.readouterr().err
    (tmp_path / "manifest.json").touch()
    assert main(["bench", str(tmp_path), "--rounds", "2"]) == 2
    assert "--rounds is of several artifacts" in capsys.readouterr().err
    assert main(["bench", file, "--prompt-length", "8,x"]) == 2
    assert "'8,x' is not a whole number, or several such as 128,512" in capsys.readouterr().err


def test_a_combination_must_fit_every_bundle(quantized_bundle: Path) -> None:
    with pytest.raises(BundleError, match="do not fit the context of 2048"):
        api.compare_speed([str(quantized_bundle)], prompt_length=2048, decode_length=8)
