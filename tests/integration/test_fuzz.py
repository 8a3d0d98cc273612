"""A few minutes of coverage-guided fuzzing: `pytest -m fuzz`; needs atheris."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_export import api
from llm_export.config.recipe_files import recipe_yaml
from llm_export.sharing.index import make_index

SCRIPT = Path(__file__).parent.parent / "fuzz_targets.py"
SECONDS = int(os.environ.get("LLM_EXPORT_FUZZ_SECONDS", "30"))
"""For each target."""
SEEDS: dict[str, bytes] = {
    "text": b"a: [1, {b: 'c'}]\nd: |\n  e\n",
    "recipe": b"defaults: [export_base, {override quant: none}, _self_]\nverify: {text: a}\n",
    "lock": b"{format: 1, versions: {}, platform: {}, checkpoint: {}, files: {}, recipe: {}}",
    "override": b'deploy.questions=[a,"b"]',
    "manifest": b'{"format": 1, "name": "x"}',
    "index": make_index("it", "it.yaml", {"it.yaml": b""}),
    "address": b"https://host/org/name@main#folder",
    "archive_zip": b"PK\x05\x06" + b"\0" * 18,
    "archive_tar": b"a.txt" + b"\0" * 507,
    "packed": b"PK\x05\x06" + b"\0" * 18,
}

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("target", SEEDS)
def test_only_errors_for_people_come_out(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install atheris")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "seed").write_bytes(SEEDS[target])
    if target in ("text", "recipe"):
        (seeds / "whole").write_text(recipe_yaml(api.compose_recipe(None, ["model=tiny"]).recipe))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), target, str(seeds), f"-max_total_time={SECONDS}",
         "-timeout=60", "-rss_limit_mb=4096", f"-artifact_prefix={tmp_path}/"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=SECONDS + 300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
