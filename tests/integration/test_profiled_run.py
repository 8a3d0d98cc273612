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
    """Four layers, of which all are lowered for the record; cloned layers have the same map."""
    words = ("backend=xnnpack", "quant=8da8w", "model.config.num_hidden_layers=4", "verify=off")
    recorded = export(*words, *SHORT, "backend.etrecord=true")
    profiles = json.loads((recorded / ROLES["profile"]).read_text())
    assert [(p["phase"], p["depth"]) for p in profiles] == [("prefill", 0), ("decode", 16)]
    report = (recorded / ROLES["report"]).read_text()
    assert "## Where does the time go?" in report
    assert profiles[1]["summary"] in report
    assert "| linear layers |" in report
    page = (recorded / ROLES["page"]).read_text()
    assert "time, decode" in page
    assert "all 4" in page
    record = parse_etrecord(str(recorded / ROLES["etrecord"]))
    assert record.edge_dialect_program is not None
    files = json.loads((recorded / "manifest.json").read_text())["files"]
    assert {ROLES["etrecord"], ROLES["profile"], PROFILE_MAP} <= set(files)
    assert all(check.good for check in check_bundle(recorded, probe=lambda folder: []))

    cloned = export(*words)
    assert not (cloned / ROLES["etrecord"]).exists()
    maps = [ProfileMap.read(bundle / PROFILE_MAP) for bundle in (recorded, cloned)]
    assert maps[0].weights == maps[1].weights
    calls = [m.methods["forward"].values() for m in maps]
    inside = [[(o.operator, o.module, o.bytes) for c in all_ for o in c.inside] for all_ in calls]
    assert inside[0] == inside[1]
    assert {f"layers.{layer}.feed_forward.down" for layer in range(4)} <= {
        m for _, m, _ in inside[1]
    }

    assert "error" in profile_steps(tmp_path / "nothing", 8)
