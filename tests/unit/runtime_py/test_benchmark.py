"""The combinations of a benchmark, its statistics, its file and its forms."""

from __future__ import annotations

import csv
import io
import json
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.errors import BundleError
from llm_export.pipeline.speed import Speed
from runtime_py.benchmark import FORMATS, text
from runtime_py.benchmark.plan import Case, cases, wanted
from runtime_py.benchmark.rounds import Round, Rounds, measure_rounds
from runtime_py.benchmark.spread import MOST, spread, thinned
from runtime_py.benchmark.sustained import POINTS, Cycle, described
from runtime_py.errors import ArgumentError, BundleRuntimeError

SCHEMA = json.loads(
    resources.files("runtime_py.benchmark").joinpath("benchmark.schema.json").read_text("utf-8")
)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
@settings(max_examples=30)
def test_a_spread_is_numpys(values: list[float]) -> None:
    found = spread(values)
    for percent in (10, 50, 90, 99):
        assert found[f"p{percent}"] == pytest.approx(np.percentile(values, percent))
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["median"] == pytest.approx(found["p50"])
    if len(values) > 1:
        assert found["stdev"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    jsonschema.validate(found, {**SCHEMA["$defs"]["spread"]})


@given(st.integers(0, 5000))
@settings(max_examples=20)
def test_samples_are_thinned_evenly_and_in_order(count: int) -> None:
    kept = thinned([float(i) for i in range(count)])
    assert len(kept) == min(count, MOST)
    assert kept == sorted(set(kept))
    steps = {b - a for a, b in pairwise(kept)}
    assert not steps or max(steps) - min(steps) <= 1


@given(
    prompts=st.lists(st.integers(1, 600), max_size=3),
    decodes=st.lists(st.integers(1, 200), max_size=3),
    depths=st.lists(st.integers(0, 600), max_size=3),
    context=st.none() | st.integers(2, 2048),
)
def test_every_combination_fits_or_is_refused(
    prompts: list[int], decodes: list[int], depths: list[int], context: int | None
) -> None:
    asked = wanted(prompts or None, decodes or None, depths or None, None)
    if prompts and decodes:
        longest = max(prompts) + max(decodes) + max(depths, default=0)
        if context is not None and longest > context:
            with pytest.raises(BundleRuntimeError, match="do not fit the context"):
                cases(asked, context)
            return
    elif (
        context is not None
        and context - max([*prompts, *decodes], default=1) - max(depths, default=0) < 1
    ):
        return  # no room for what is left open
    made, notes = cases(asked, context)
    every = [len(set(some)) or 1 for some in (prompts, decodes, depths)]
    assert len(set(made)) == len(made) == np.prod(every)
    assert all(context is None or case.tokens <= context for case in made)
    short = [k for k, usual, asked_for in (
        ("prompt_length", 512, prompts), ("decode_length", 128, decodes)
    ) if not asked_for and getattr(made[0], k) != usual]  # fmt: skip
    assert [note.partition(":")[0] for note in notes] == [
        k for k in ("decode_length", "prompt_length") if k in short
    ]


@pytest.mark.parametrize("wrong", [0, -1, 2**31, True, 1.5, "8", [], [8, 0], [[8]], {"a": 1}])
def test_lengths_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="prompt_length must be"):
        wanted(wrong, None, None, None)


class _Program:
    """Takes the times that it is given, on a clock that only it moves."""

    def __init__(self, times: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self.now, self.position = iter(times), 0.0, 0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def reset(self, position: int = 0) -> int:
        self.position = position
        return position

    def prefill(self, ids: list[int]) -> np.ndarray:
        self.now += next(self.times)
        return np.zeros(4)

    def step(self, ids: list[int]) -> np.ndarray:
        self.now += 1.0
        return np.zeros((1, 1, 4))


@pytest.mark.parametrize(
    ("warmup", "until", "times", "expected"),
    [
        (None, 1e9, [9.0, 5.0, 5.1, 4.0, 4.0], (3, True, [4.0, 4.0])),
        (None, 1e9, [1.0, 2.0, 4.0, 8.0, 16.0, 3.0, 3.0], (5, False, [3.0, 3.0])),
        (2, 1e9, [9.0, 5.0, 4.0, 4.0], (2, None, [4.0, 4.0])),
        (0, 1e9, [9.0, 5.0], (0, None, [9.0, 5.0])),
        (None, 5.0, [9.0], (0, False, [9.0])),
        (0, 5.0, [9.0], (0, None, [9.0])),
    ],
)
def test_warming_up_ends_when_two_rounds_agree(
    warmup: int | None, until: float, times: list[float], expected: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    program: Any = _Program(times, monkeypatch)
    made = measure_rounds(program, Case(8, 2, 0), 100, warmup=warmup, repetitions=2, until=until)
    assert (made.warmups, made.settled, [r.first for r in made.counted]) == expected
    assert all(r.tokens == (1.0, 1.0) for r in made.counted)


def test_rounds_agree_within_a_twentieth() -> None:
    one = Round(1.0, (0.5, 0.5))
    assert one.agrees(Round(1.04, (0.5, 0.48)))
    assert not one.agrees(Round(1.0, (0.5, 0.6)))
    assert not one.agrees(Round(0.9, (0.5, 0.5)))
    assert Rounds().counted == []


def test_drift_is_of_the_last_tenth_to_the_first() -> None:
    cycles = [Cycle(float(i + 1), 10, 1.0 if i < 500 else 2.0) for i in range(1000)]
    found = described(cycles)
    assert (found["first_tokens_per_second"], found["last_tokens_per_second"]) == (10, 5)
    assert found["drift"] == 0.5
    assert len(found["series"]) == POINTS
    assert (found["series"][0], found["series"][-1]["seconds"]) == (
        {"seconds": 5.0, "tokens_per_second": 10.0}, 1000.0
    )  # fmt: skip
    assert described([Cycle(3.0, 10, 2.0)])["drift"] == 1


@pytest.fixture(scope="module")
def measured(quantized_bundle: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime_py.bandwidth._BYTES", 1 << 22)
        said: list[str] = []
        found = api.bench(
            quantized_bundle, prompt_length=[8, 16], decode_length=4, depth=[0, 64],
            threads=[1, 2], repetitions=2, sustained=0.05, progress=said.append,
        )  # fmt: skip
    assert any(
        "16 + 4 tokens at depth 64, 2 threads (8 of 8): repetition 2 of 2" in s for s in said
    )
    again: dict[str, Any] = json.loads(json.dumps(found))
    return again


def test_the_result_follows_its_schema_and_tells_what_it_read(measured: dict[str, Any]) -> None:
    jsonschema.validate(measured, SCHEMA)
    tests = measured["tests"]
    keys = ("prompt_length", "depth", "threads")
    assert [tuple(test[key] for key in keys) for test in tests] == [
        (8, 0, 1), (8, 64, 1), (16, 0, 1), (16, 64, 1),
        (8, 0, 2), (8, 64, 2), (16, 0, 2), (16, 64, 2),
    ]  # fmt: skip
    assert all(len(t["inter_token_latency_seconds"]["samples"]) == 2 * 4 for t in tests)
    assert measured["decode_tokens_per_second"] == tests[0]["decode_tokens_per_second"]
    manifest = json.loads((Path(measured["bundle"]) / "manifest.json").read_text("utf-8"))
    assert measured["cache_bytes"] == manifest["program"]["cache"]["bytes"]
    sizes = api.weight_sizes(measured["bundle"])
    assert measured["weight_bytes"] == sum(sizes.values())
    # A step reads the linears whole, and what the caches hold.
    linears = sum(size for name, size in sizes.items() if name == "head" or "layers." in name
                  if "norm" not in name)  # fmt: skip
    share, rate = tests[0]["bandwidth_share"], tests[0]["decode_tokens_per_second"]["median"]
    read = share * measured["bandwidth"]["bytes_per_second"] / rate
    assert read == pytest.approx(linears, rel=0.1)
    assert measured["sustained"]["tokens"] >= 4


def test_every_form_has_every_combination(measured: dict[str, Any]) -> None:
    assert json.loads(text(measured, "json")) == measured
    lines = [json.loads(line) for line in text(measured, "jsonl").splitlines()]
    rows = list(csv.DictReader(io.StringIO(text(measured, "csv"))))
    for row, line, test in zip(rows, lines, measured["tests"], strict=True):
        assert float(row["depth"]) == line["depth"] == test["depth"]
        decode = test["decode_tokens_per_second"]["p90"]
        assert float(row["decode_tokens_per_second.p90"]) == decode
        assert line["decode_tokens_per_second.p90"] == decode
    for form in ("table", "markdown"):
        found = text(measured, form)
        for test in measured["tests"]:
            assert f"{test['prefill_tokens_per_second']['mean']:.1f} ±" in found
    assert set(FORMATS) == {"table", "json", "jsonl", "csv", "markdown"}


def test_a_bundle_keeps_what_was_measured(measured: dict[str, Any]) -> None:
    speed = Speed.from_dict(measured)
    assert json.loads(json.dumps(speed.as_dict())) == measured
    brief = speed.brief().as_dict()
    assert "tests" not in brief
    assert "samples" not in json.dumps(brief)
    assert Speed.from_dict(json.loads(json.dumps(brief))).decode_tokens_per_second.median > 0


def test_what_does_not_fit_is_refused_by_name(quantized_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"2000 \(depth\) \+ 512 \+ 128 tokens do not fit"):
        api.bench(quantized_bundle, prompt_length=512, decode_length=128, depth=[0, 2000])


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_with_fewer_figures_has_every_form(form: str) -> None:
    """As a native runner on a device or an earlier version gives it."""
    rates = spread([10.0, 11.0])
    found = {
        "bundle": "b", "machine": {"processor": "a chip", "logical_cpus": 8},
        "settings": {"prompt_length": 7, "decode_length": 3, "warmup": 1, "repetitions": 2,
                     "threads": 4},
        "load_seconds": 0.5, "time_to_first_token_seconds": rates,
        "prefill_tokens_per_second": rates, "decode_tokens_per_second": rates,
        "peak_memory_bytes": 10**8,
    }  # fmt: skip
    assert "10.5" in text(found, form)
