"""A tiny recipe of each task goes through every stage, and its bundle is of that task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from task_bundles import OF_TASK

from llm_export.models.task import MODEL_TASKS

STAGES = ("load", "quantize", "export", "lower", "package", "verify", "benchmark", "report")


def test_each_task_has_one() -> None:
    assert {"generate", *OF_TASK} == set(MODEL_TASKS)


@pytest.mark.parametrize("task", ["generate", *OF_TASK])
def test_a_whole_run(task: str, once: Callable[..., Path], portable_bundle: Path) -> None:
    bundle = portable_bundle if task == "generate" else once(*OF_TASK[task])
    stages = json.loads((bundle / "run.json").read_text())["stages"]
    assert all(stage["state"] == "done" for stage in stages)
    assert [stage["name"] for stage in stages if stage["name"] in STAGES] == [*STAGES]
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest.get("task", {"name": "generate"})["name"] == task
    assert manifest["proof"]["verified"]
