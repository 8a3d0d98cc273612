"""What a benchmark records of its machine, and the mark of disturbed figures."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llm_export.pipeline.speed import Speed
from runtime_py import memory
from runtime_py.benchmark import disturbed, spread, table
from runtime_py.conditions import OtherLoad, governor, is_disturbed, processor, told_features

RESULT: dict[str, Any] = {
    "settings": {"prompt_length": 4, "decode_length": 4, "warmup": 1, "repetitions": 2,
                 "threads": 2},
    "machine": {"processor": "a CPU", "logical_cpus": 2, "physical_cpus": 1,
                "features": ["avx2", "avx512_vnni", "popcnt"], "governor": "powersave"},
    "conditions": {"load_average_before": 1.25, "other_cpus": 1.5, "disturbed": True},
    "load_seconds": 0.5,
    "time_to_first_token_seconds": spread([0.1, 0.2]),
    "prefill_tokens_per_second": spread([40.0, 20.0]),
    "decode_tokens_per_second": spread([9.0, 7.0]),
    "peak_memory_bytes": 500_000_000,
    "bare_memory_bytes": 380_000_000,
}  # fmt: skip


def test_disturbed_figures_are_marked_and_memory_is_shown_both_ways() -> None:
    rows = dict(table(RESULT))
    assert rows["decode"] == "8.0 tokens/s (7.0 to 9.0), disturbed"
    assert rows["other processes"].startswith("1.50 of 2 CPUs (disturbed: measure when idle)")
    assert rows["processor"] == "avx2, avx512_vnni; governor powersave"
    assert rows["peak memory"] == "500 MB; 120 MB without bare Python and libraries (380 MB)"
    assert all(len(name) + 2 + len(value) <= 100 for name, value in rows.items())
    quiet = copy.deepcopy(RESULT)
    quiet["conditions"] |= {"other_cpus": 0.01, "disturbed": False}
    assert "disturbed" not in str(table(quiet))


def test_results_of_earlier_versions_are_read_and_shown() -> None:
    old = {k: v for k, v in RESULT.items() if k not in ("conditions", "bare_memory_bytes")}
    old["machine"] = {"processor": "a CPU", "logical_cpus": 2}
    speed = Speed.from_dict(old)
    assert not speed.disturbed
    assert not disturbed(old)
    assert dict(table(speed.as_dict()))["peak memory"] == "500 MB"
    assert Speed.from_dict(RESULT).disturbed
    assert Speed.from_dict(RESULT).as_dict() == RESULT


@pytest.mark.parametrize(
    ("others", "cpus", "threads", "expected"),
    [
        (0.15, 2, 2, False), (0.3, 2, 2, True),  # no CPU is left for others
        (0.7, 8, 4, False), (0.9, 8, 4, True),  # four are, but memory and clock are shared
        (0.3, 64, 64, True), (3.0, 64, 2, False),
    ],
)  # fmt: skip
def test_the_limit_of_a_disturbance(others: float, cpus: int, threads: int, expected: bool) -> None:
    assert is_disturbed(others, cpus, threads) is expected


def test_another_process_is_seen_and_the_own_work_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([100.0, 103.0])
    own = iter([10.0, 11.0])
    monkeypatch.setattr("runtime_py.conditions._busy_seconds", lambda: next(readings))
    monkeypatch.setattr("runtime_py.conditions._own_seconds", lambda: next(own))
    monkeypatch.setattr(time, "perf_counter", iter([0.0, 2.0, 2.0]).__next__)
    with OtherLoad() as load:
        pass
    assert load.cpus == 1.0


def test_a_busy_process_beside_it_is_measured() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with OtherLoad() as load:
            time.sleep(0.3)
        assert load.cpus is not None
        assert load.cpus > 0.2
    finally:
        busy.kill()
        busy.wait()


def test_the_processor_names_what_kernels_are_chosen_by(tmp_path: Path) -> None:
    found = processor()
    assert found["logical_cpus"] >= 1
    assert found["features"] == sorted(found["features"])
    assert told_features(("popcnt", "i8mm", "neon", "dot")) == "neon, dot, i8mm"
    assert governor(tmp_path) is None
    for number, name in enumerate(("performance", "powersave", "performance")):
        file = tmp_path / f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor"
        file.parent.mkdir(parents=True)
        file.write_text(f"{name}\n")
    assert governor(tmp_path) == "performance, powersave"


def test_a_peak_begins_anew_after_a_reset() -> None:
    ballast = bytearray(b"x") * 200_000_000
    high = memory.peak()
    del ballast
    if not memory.reset_peak():
        pytest.skip("this system keeps one peak a process")
    assert memory.resident() * 0.5 < memory.peak() < high - 100_000_000
