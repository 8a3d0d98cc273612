"""``llm-export compare`` as a user types it: exit codes, JUnit, Markdown, names."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from saved_runs import benchmark, proof, samples, save

from llm_export.cli.main import main
from llm_export.compare.comparison import compare_sides
from llm_export.compare.expression import parse
from llm_export.compare.gates import FAILED, PASSED, UNDECIDED, Gate, Outcome, names_of
from llm_export.compare.in_turns import measured_in_turns
from llm_export.compare.junit import junit_xml
from llm_export.compare.side import read_side

COUNTS = ("tests", "failures", "errors")


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    slower = proof((0.02, 0.018, 0.022))
    return [
        str(save(tmp_path / "a_b", benchmark(samples(100.0)))),
        str(save(tmp_path / "other", benchmark(samples(60.0, seed=1)), proved=slower)),
    ]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 0, "violated  decode is no slower"),
        (["--fail-if", "decode < 0.5 * base"], 0, "passed    fail if decode < 0.5 * base"),
        (["--fail-if", "decode < 0.5 * base", "--fail-if", "decode.median < 0.95 * base"], 1,
         "FAILED    fail if decode.median < 0.95 * base: decode.median "),
        (["--fail-on-regression"], 1, "FAILED    mean KL is no worse: quality.mean_kl 0.02 nats"),
        (["--fail-if", "decode.p99 < 3"], 1, "decode.p99 was not measured in B"),
        (["--fail-if", "decode.p99 < 3", "--allow-missing"], 0, "skipped   fail if decode.p99 < 3"),
        (["--fail-if", "decode.medain < 3"], 2, "did you mean 'decode.median'"),
        (["--rounds", "1", "--measure"], 2, "2 to 1000 rounds"),
        (["--measure", "--prompt-length", "9999"], 2, "9999 + 1 tokens do not fit the context of "),
        (["--measure", "--threads", "0"], 2, "threads must be a whole number from 1 to 1024"),
        (["--junit", "/nowhere/at/all.xml"], 2, "the report cannot be written"),
        (["--rounds", "3"], 2, "--rounds is of a new measurement"),
        (["third"], 2, "two bundles are compared, not 3"),
    ],
)  # fmt: skip
def test_exit_codes(
    sides: list[str], words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *sides, *words]) == code
    out, err = capsys.readouterr()
    assert told in out + err


def test_quantities_are_listed(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--quantities"]) == 0
    text = capsys.readouterr().out
    for name in ("decode.median", "ttft.p99", "memory.steady", "size.program", "quality.mean_kl"):
        assert f"\n{name} " in f"\n{text}"
    assert main(["compare", "--quantities", "--json", *sides]) == 0
    body = json.loads(capsys.readouterr().out)
    assert all(set(row) >= {"name", "unit", "higher_is_better"} for row in body)


def test_markdown_and_json(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *sides, "--md", "--all"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("**B is 40% (39 to 41%) slower at decode")
    assert "a\\_b" in text
    assert "| decode, tokens/s | " in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {6}
    assert main(["compare", *sides, "--json", "--fail-on-regression"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["failed"]
    assert [rule["name"] for rule in body["rules"] if rule["state"] == "failed"]


def outcome(state: str, name: str = "decode.median < 3", **more: Any) -> Outcome:
    gate = Gate(parse(name, names_of([])), more.pop("title", ""))
    return Outcome(gate, state, "found <it> \x1b & \ud800", **more)


def test_a_junit_report() -> None:
    """Elements, attributes and their order are those of junit-10.xsd; counts add up."""
    outcomes = [
        outcome(PASSED), outcome(FAILED), outcome(UNDECIDED, title='a "rule"'),
        outcome(FAILED, enforced=False), outcome(UNDECIDED, enforced=False),
    ]  # fmt: skip
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    root = ElementTree.fromstring(junit_xml(outcomes, "summary \0", now).encode())
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    for element in (root, suite):
        assert [element.get(name) for name in COUNTS] == ["5", "1", "1"]
        assert float(element.get("time", "")) == 0
    assert (suite.get("skipped"), suite.get("timestamp")) == ("2", "2026-01-02T03:04:05")
    assert [child.tag for child in suite] == ["testcase"] * 5 + ["system-out"]
    cases = suite.findall("testcase")
    assert all(set(case.attrib) == {"classname", "name", "time"} for case in cases)
    assert [case[0].tag for case in cases] == [
        "system-out", "failure", "error", "skipped", "skipped"
    ]  # fmt: skip
    assert all(set(case[0].attrib) == {"message", "type"} for case in cases[1:3])
    assert "found <it> \ufffd & \ufffd" in (cases[1][0].get("message") or "")
    assert cases[2].get("classname") == "llm_export.compare.rules"
    assert (suite.findtext("system-out") or "") == "summary \ufffd"


def test_turns_cancel_what_disturbs_both(tmp_path: Path) -> None:
    """The machine becomes slower from round to round; each second one begins with the other."""
    order: list[tuple[str, Any]] = []

    def measure(bundle: str, **settings: Any) -> Mapping[str, Any]:
        order.append((Path(bundle).name, settings["prompt_length"]))
        turn = len(order) - 1
        speed = 100.0 * 0.8 ** (turn // 2) * (1 - 0.002 * (turn % 2))
        speed *= 0.9 if bundle.endswith("b") else 1.0
        body = benchmark([speed])
        busy = {"load_average_before": 1.0, "other_cpus": 1.0, "disturbed": True}
        return {**body, "conditions": busy, "load": {"imports_seconds": float(len(order))}}

    sides = [read_side(save(tmp_path / name)) for name in "ab"]
    told: list[tuple[int, int]] = []
    base, new = measured_in_turns(
        *sides, rounds=4, measure=measure, progress=lambda *at: told.append(at)
    )
    assert [name for name, _ in order] == list("abbaabba")
    assert {length for _, length in order} == {512}
    assert told[-1] == (8, 8)
    assert base.benchmark["load"] == {"imports_seconds": 4.5}
    row = compare_sides(base, new).row("decode.median")
    assert row is not None
    assert row.method == "paired"
    assert row.ratio == pytest.approx(0.9, abs=0.001)
    assert row.significant  # though other processes were busy, and each alone varies by a half


@pytest.mark.parametrize(
    ("endless", "prompt", "expected"),
    [([], None, 512), (["a"], 2000, 2000), (["a", "b"], 9999, 9999), (["a", "b"], None, 512)],
)
def test_both_are_measured_at_the_same_lengths(
    tmp_path: Path, endless: list[str], prompt: int | None, expected: int
) -> None:
    """Which the shorter context bounds, unless positions may exceed it."""
    seen: list[int] = []

    def measure(bundle: str, **settings: Any) -> Mapping[str, Any]:
        seen.append(settings["prompt_length"])
        return benchmark([100.0])

    sides = []
    for name in "ab":
        side = read_side(save(tmp_path / name))
        sides.append(replace(side, endless=name in endless))
    measured_in_turns(*sides, rounds=2, prompt_length=prompt, measure=measure)
    assert seen == [expected] * 4


@pytest.mark.slow
def test_a_bundle_measured_in_turns(
    quantized_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside itself; processes of their own measure it."""
    bundle = str(quantized_bundle)
    words = ["--measure", "--rounds", "2", "--decode-length", "16", "--json"]
    assert main(["compare", bundle, bundle, *words]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["in_turns"] == 2
    rows = {row["name"]: row for row in body["quantities"]}
    assert rows["decode.median"]["method"] == "paired"
    assert len(rows["decode.median"]["new"]["samples"]) == 2
    assert 0.5 < rows["decode.median"]["ratio"] < 2
    assert rows["ttft.median"]["adjusted_p_value"] == rows["prefill.median"]["adjusted_p_value"]
