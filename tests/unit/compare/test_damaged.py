"""Files with values of another kind are compared as far as they go, or refused; nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from saved_runs import benchmark, sampled, samples, save

from llm_export import api
from llm_export.compare import tables
from llm_export.errors import BundleError

JUNK: tuple[Any, ...] = (None, True, "x", "\x1b[31m", -1, 0, 10**30, float("inf"), [], [None], {},
                         {"median": "a"})  # fmt: skip
EVALUATION = {
    "measured": "2026-01-01",
    "tasks": [{
        "task": "arc-easy", "about": "questions",
        "columns": [{"name": "acc", "title": "accuracy", "unit": "share",
                     "higher_is_better": True}],
        "scores": [{"layer": "program", "count": 900, "values": {"acc": 0.5},
                    "errors": {"acc": 0.02}}],
    }],
}  # fmt: skip


def damaged(value: Any, draw: Random) -> Any:
    """With something else in the place of one of its parts."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        return {**value, key: damaged(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], damaged(value[at], draw), *value[at + 1 :]]
    return draw.choice(JUNK)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files(seed: int, tmp_path: Path) -> None:
    draw = Random(seed)
    test = {"prompt_length": 128, "decode_length": 32, "depth": 1500, "threads": 2,
            "decode_tokens_per_second": sampled(samples(40.0))}  # fmt: skip
    busy = {"other_cpus": 1.0, "disturbed": True}
    speed = {**benchmark(samples(100.0)), "tests": [test], "load": {"imports_seconds": 1.0},
             "conditions": busy}  # fmt: skip
    whole, other = (save(tmp_path / n, speed, schemes={"head": ("8w", 10)}) for n in "ab")
    (other / "evaluation.json").write_text(json.dumps(EVALUATION), encoding="utf-8")
    for file in sorted(other.glob("*.json")):
        body = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(damaged(body, draw)), encoding="utf-8")
    for pair in ((whole, other), (other, whole)):
        with contextlib.suppress(BundleError):
            found = api.compare(*pair, fail_if="decode < base")
            assert list(tables.text_lines(found.comparison, all_rows=True))
            assert list(tables.markdown_lines(found.comparison))
            assert json.dumps(found.as_dict(), allow_nan=False, default=str)
