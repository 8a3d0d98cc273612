"""A run that profiles its bundle and keeps an ETRecord."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from executorch.devtools import parse_etrecord

from llm_export.bundle.roles import ROLES
from llm_export.bundle.verify import check_bundle
from llm_export.profile.of_run import profile_steps
from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap

SHORT = ("benchmark=quick", "benchmark.prompt_length=16", "benchmark.decode_length=4",
         "benchmark.profile=true", "verify=off")  # fmt: skip


@pytest.mark.slow
def test_a_profiled_run(export: Callable[..., Path], tmp_path: Path) -> None:
    """Of two layers, which are lowered whole for the record. That the map of repeated layers is the
    same is in tests/parity/test_repeated_layers.py."""
    words = ("backend=xnnpack", "quant=8da8w", "backend.etrecord=true")
    recorded = export(*words, *SHORT)
    profiles = json.loads((recorded / ROLES["profile"]).read_text())
    assert [(p["phase"], p["depth"]) for p in profiles] == [("prefill", 0), ("decode", 16)]
    report = (recorded / ROLES["report"]).read_text()
    assert "## Where does the time go?" in report
    assert profiles[1]["summary"] in report
    assert "| linear layers |" in report
    page = (recorded / ROLES["page"]).read_text()
    assert "time, decode" in page
    assert "all 2" in page
    record = parse_etrecord(str(recorded / ROLES["etrecord"]))
    assert record.edge_dialect_program is not None
    files = json.loads((recorded / "manifest.json").read_text())["files"]
    assert {ROLES["etrecord"], ROLES["profile"], PROFILE_MAP} <= set(files)
    assert all(check.good for check in check_bundle(recorded, probe=lambda folder: []))
    calls = ProfileMap.read(recorded / PROFILE_MAP).methods["forward"].values()
    modules = {operation.module for call in calls for operation in call.inside}
    assert {f"layers.{layer}.feed_forward.down" for layer in range(2)} <= modules
    assert "error" in profile_steps(tmp_path / "nothing", 8)
