"""processor.json, of what a checkpoint says of its images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_export.bundle.processor_file import write_processor
from llm_export.errors import CheckpointError

IMAGE = {"image_processor_type": "SmolVLMImageProcessor", "do_image_splitting": True}


def written(
    tmp_path: Path, files: dict[str, Any], stated: dict[str, Any] | None = None
) -> dict[str, Any]:
    source, bundle = tmp_path / "source", tmp_path / "bundle"
    for folder in (source, bundle):
        folder.mkdir()
    for name, body in files.items():
        (source / name).write_text(body if isinstance(body, str) else json.dumps(body))
    checkpoint: Any = SimpleNamespace(files=(source / "model.safetensors",))
    write_processor(bundle, checkpoint, stated or {})
    found: dict[str, Any] = json.loads((bundle / "processor.json").read_text())
    return found


def test_both_files_of_a_checkpoint_become_one(tmp_path: Path) -> None:
    files = {"preprocessor_config.json": IMAGE, "processor_config.json": {"image_seq_len": 64}}
    made = written(tmp_path, files)
    assert made == {"image_seq_len": 64, "image_processor": IMAGE}


def test_stated_keys_replace_those_of_the_checkpoint(tmp_path: Path) -> None:
    files = {"preprocessor_config.json": IMAGE}
    made = written(tmp_path, files, {"do_image_splitting": False})
    assert made["image_processor"] == {**IMAGE, "do_image_splitting": False}


def test_stated_keys_are_enough(tmp_path: Path) -> None:
    assert written(tmp_path, {}, IMAGE)["image_processor"] == IMAGE


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "neither preprocessor_config.json nor processor_config.json"),
        ({"preprocessor_config.json": "{"}, "not valid JSON"),
        ({"preprocessor_config.json": "[]"}, "not a JSON object"),
        ({"preprocessor_config.json": {"size": 1}}, "names no image processor"),
        (
            {
                "preprocessor_config.json": IMAGE,
                "processor_config.json": {"processor_class": "OtherProcessor"},
            },
            "does not know what OtherProcessor writes",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        written(tmp_path, files)
