"""The tables of speed in docs/performance.md are of the figures that are kept."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from benchmarks import kept, runtime_speed, speed_page

DATA = kept.read(runtime_speed.DATA)


def artifact(label: str, speed: float, ratio: dict[str, Any] | None) -> dict[str, Any]:
    spread = {"median": speed, "min": speed - 1, "max": speed + 1}
    return {
        "label": label, "bytes": 2_000_000, "peak_memory_bytes": 7_000_000, "tests": [{
            "prompt_length": 512, "decode_length": 32, "depth": 988, "threads": 2,
            "prefill_tokens_per_second": None, "prefill_ratio": None,
            "decode_tokens_per_second": spread, "decode_ratio": ratio,
        }],
    }  # fmt: skip


@pytest.fixture
def record() -> kept.Row:
    slower = {"value": 0.5, "low": 0.4, "high": 0.8, "significant": True}
    result = {
        "rounds": 5, "conditions": {"other_cpus": 0.031, "disturbed": False},
        "artifacts": [artifact("a", 100, None), artifact("b", 50, slower),
                      {"label": "c", "bytes": 1, "peak_memory_bytes": None, "tests": []}],
    }  # fmt: skip
    said = kept.provenance("python it", "torch", "no_such_package")
    return {"context": 4096, **speed_page.record("context 4096, depth 1500", result, said, "M")}


def test_the_page_is_as_it_would_be_made() -> None:
    """Else: python benchmarks/runtime_speed.py"""
    text = runtime_speed.PAGE.read_text(encoding="utf-8")
    assert runtime_speed.page(text, DATA) == text


def test_a_record_of_a_depth_becomes_columns(record: kept.Row) -> None:
    text = "<!-- runtime speed -->\n<!-- end of runtime speed -->"
    page = runtime_speed.page(text, {"records": [record]})
    assert "|  | decode at 1,500 |" in page
    assert "| a | 100 (99.0 to 101) |" in page
    assert "| b | 2.00* (1.25 to 2.50) |" in page, "how many times as fast the first is"
    assert "| b | 2 | 7 |" in page, "MB of the file and of memory"
    assert "5 rounds in turns" in page
    assert "other processes on 0.03 CPUs" in page
    assert "| c |" not in page


def test_a_session_has_ratios_to_its_first_row(record: kept.Row) -> None:
    text = speed_page.session(record)
    assert "| `b` | 2.0 | 50.0 (49.0 to 51.0) | 0.50* (0.40 to 0.80) | 7 |" in text
    assert "prefill" not in text, "nothing of it was measured"


def test_conditions_explain_what_the_table_has(record: kept.Row) -> None:
    said = speed_page.conditions([record])
    assert "in turns (least to most), ratios with 95% confidence intervals (* excludes 1)" in said
    for one in record["artifacts"]:
        one["decode"] |= {"low": None, "high": None}
        one["decode_ratio"] = None
    said = speed_page.conditions([record])
    assert "in turns, other processes on" in said


def test_a_measurement_tells_where_it_is_from(record: kept.Row) -> None:
    assert record["command"] == "python it"
    assert set(record["versions"]) == {"torch"}
    assert record["machine"]


def test_a_depth_beyond_the_context_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["runtime_speed.py", "--context", "512", "--depths", "500", "--count", "32"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        runtime_speed.main()
    assert "exceed --context 512" in capsys.readouterr().err
