"""Calibration text: a file, a dataset, or the shipped sample; and what is said when it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer

from llm_export import api
from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import CalibrationConfig
from llm_export.errors import InputError, LlmExportError, MissingDependencyError, RecipeError
from llm_export.stages.quantization.calibration import calibration_windows

ROWS = [f"Row {i} of a small dataset." for i in range(40)]
TOKENIZER = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()
SOURCE: Any = SimpleNamespace(tokenizer=TOKENIZER)
MODEL: Any = SimpleNamespace(context_length=64, whole_texts=False)


def windows(**settings: Any) -> list[list[int]]:
    return calibration_windows(CalibrationConfig(**settings), SOURCE, MODEL)


def decoded(found: list[list[int]]) -> str:
    tokenizer = Tokenizer.from_str(TOKENIZER.tokenizer_json)
    return str(tokenizer.decode([i for w in found for i in w]))


def problems(*overrides: str) -> list[str]:
    return [str(p) for p in find_problems(api.compose_recipe(None, list(overrides)).recipe)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "data"
    made.mkdir()
    lines = [json.dumps({"text": row, "story": f"{row} Twice.", "n": i})
             for i, row in enumerate(ROWS)]  # fmt: skip
    (made / "train.jsonl").write_text("\n".join(lines))
    return made


def test_a_file_is_read_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("The beginning. " * 20 + "The end.")
    assert decoded(windows(text=str(file), tokens=8)) == "The end."


def test_a_dataset_is_read_from_its_beginning(folder: Path) -> None:
    found = windows(dataset=str(folder), tokens=200)
    assert [len(w) for w in found] == [64, 64, 64, 8]
    assert decoded(found) == "\n\n".join(ROWS)[:200]
    other = decoded(windows(dataset=str(folder), tokens=50, column="story"))
    assert other == (ROWS[0] + " Twice.\n\n" + ROWS[1])[:50]


def test_a_dataset_of_text_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "validation.txt").write_text("\n".join(ROWS))
    found = windows(dataset=str(tmp_path), split="validation", tokens=60)
    assert decoded(found) == "\n\n".join(ROWS)[:60]


@pytest.mark.parametrize(
    ("settings", "kind", "words", "fix"),
    [
        ({"text": "/nowhere.txt"}, InputError, "the text cannot be read.*No such file", ""),
        ({"dataset": "DATA", "column": "body"}, InputError, "has no column 'body'",
         "quant.calibration.column=one of text, story, n"),
        ({"dataset": "DATA", "column": "n"}, InputError, "no text in the column 'n'", "text"),
        ({"dataset": "DATA", "split": "dev"}, InputError, "cannot be read: Bad split: dev. "
         "Available splits: .*train", "split"),
        ({"dataset": "DATA", "dataset_config": "fr"}, InputError, "cannot be read: .*'fr' not "
         "found", "dataset_config"),
        ({"dataset": "DATA", "tokens": 5000}, InputError, r"the dataset has \d+ tokens; "
         "calibration asks for 5000", "a longer quant.calibration.dataset"),
        ({"tokens": 10**7}, InputError, r"the text has \d+ tokens; calibration asks", "text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    settings: dict[str, Any], kind: type[LlmExportError], words: str, fix: str, folder: Path
) -> None:
    settings = {k: str(folder) if v == "DATA" else v for k, v in settings.items()}
    with pytest.raises(kind, match=words) as caught:
        windows(**settings)
    assert fix in (caught.value.fix or "")
    assert caught.value.where


def test_a_text_must_be_utf8(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"the text cannot be read.*utf-8") as caught:
        windows(text=str(file))
    assert caught.value.where == str(file)


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is without network."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingDependencyError, match="hub cannot be reached") as caught:
        windows(dataset="nobody/nothing")
    assert "quant.calibration.dataset=FOLDER" in (caught.value.fix or "")


def test_the_package_is_optional(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match="needs the package 'datasets'") as caught:
        windows(dataset=str(folder), tokens=31)
    assert caught.value.fix == 'pip install "llm_export[datasets]"'


def test_text_and_dataset_are_not_both() -> None:
    words = ["model=tiny", "quant.calibration.text=a.txt", "quant.calibration.dataset=a/b"]
    with pytest.raises(RecipeError, match=r"there is a calibration\.text as well") as caught:
        api.compose_recipe(None, words)
    assert caught.value.where == "quant.calibration.dataset=a/b"


def test_names_are_checked_before_any_work(folder: Path) -> None:
    key = "quant.calibration.dataset"
    assert problems("model=tiny", f"{key}=allenai/c4") == []
    assert problems("model=tiny", f"{key}={folder}") == []
    (said,) = problems("model=tiny", f"{key}=./no/such/folder")
    assert said.startswith(f"{key}: no such folder, and no name of a dataset on the hub: ./no/")
