"""Loading takes little more memory than the model: the benchmark's measure, on a small one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "load_memory.py"
# A file that stays mapped while its bfloat16 becomes float32 would give 1.5 and more; how much of
# what is read ahead counts differs by a few hundredths from run to run.
BOUND = 1.45
# One of each reader; a release adds other types, shards, and what is made of several tensors.
SLOW = {"safetensors_bf16", "bin_bf16", "gguf_q4_1"}


def level(tier: str, name: str) -> list[pytest.MarkDecorator]:
    either = name in SLOW and (tier == "composable" or name == "experts_bf16")
    return [pytest.mark.slow if either else pytest.mark.release]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("load_memory", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("tier", "name"),
    [
        pytest.param(tier, name, marks=level(tier, name))
        for tier, names in script().TIERS.items()
        for name in names
    ],
)
def test_peak_memory_of_loading(tmp_path: Path, tier: str, name: str) -> None:
    bench = script()
    source = bench.FORMATS[name](tmp_path, bench.facts(100))
    words = [sys.executable, str(SCRIPT), "--measure", json.dumps(source), "--tier", tier]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["model"] > 50e6
    # Below 1 the peak would not have been measured.
    assert 0.9 < result["ratio"] < BOUND, result
