"""Two saved results, compared."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from saved_runs import RECIPE, benchmark, proof, sampled, samples, save

from llm_export import api
from llm_export.compare import tables
from llm_export.compare.comparison import Comparison
from llm_export.errors import BundleError, RecipeError

BASE = benchmark(samples(100.0))
SLOWED = benchmark(samples(60.0, seed=1))
SCHEMA = json.loads(
    resources.files("llm_export.compare").joinpath("compare.schema.json").read_text("utf-8")
)


def compared(folder: Path, one: Any, other: Any, **options: Any) -> Any:
    """Of two benchmarks, or two sets of arguments of ``save``."""
    sides = []
    for name, given in (("one", one), ("other", other)):
        arguments = given if "speed" in given else {"speed": given}
        sides.append(save(folder / name, **arguments))
    return api.compare(*sides, **options)


def rows_of_one_measurement(found: Comparison) -> bool:
    """Time to the first token and speed of prefill are tested once."""
    first, prefill = (found.row(f"{name}.median") for name in ("ttft", "prefill"))
    assert first is not None
    assert prefill is not None
    return first.adjusted == prefill.adjusted is not None


def test_two_runs_of_one_bundle_do_not_differ(tmp_path: Path) -> None:
    found = compared(tmp_path, BASE, benchmark(samples(100.8, seed=7)))
    rows = found.comparison.rows.values()
    assert [r.quantity.name for r in rows if r.significant] == []
    assert found.comparison.tested == 4  # decode, prefill, mean KL, top-1
    assert rows_of_one_measurement(found.comparison)
    assert re.search(
        r"not significantly different at decode \([\d.]+ to [\d.]+% faster\) and prefill \(",
        found.summary,
    )
    assert "mean KL 0.0095 against 0.0095 (not significant)" in found.summary
    assert not found.failed
    assert all(outcome.state == "passed" for outcome in found.rules)
    assert found.comparison.recipe == ()


def test_a_slower_and_worse_one_is_found(tmp_path: Path) -> None:
    worse = {"speed": SLOWED, "proved": proof((0.54, 0.5, 0.58), (0.6, 0.57, 0.63), "poor"),
             "program": 920_000, "versions": {"torch": "2.14.0", "gguf": "0.19.0"},
             "recipe": {**RECIPE, "quant": {"rules": [{"scheme": "8da4w"}]}}}  # fmt: skip
    found = compared(tmp_path, {"speed": BASE}, worse)
    row = found.comparison.row("decode.median")
    assert row.significant
    assert row.direction == "worse"
    assert row.worse_by == pytest.approx(0.4, abs=0.02)
    assert found.summary.startswith("B is 40% (39 to 41%) slower at decode, ")
    assert ", 8% smaller; mean KL 0.54 against 0.0095; " in found.summary
    assert found.summary.endswith("verdict poor against good")
    violated = {o.gate.title for o in found.rules if o.state == "failed"}
    assert violated == {
        "the verdict is no worse", "decode is no slower", "prefill is no slower",
        "mean KL is no worse", "top-1 agreement is no worse",
    }  # fmt: skip
    assert not found.failed
    assert api.compare(tmp_path / "one", tmp_path / "other", fail_on_regression=True).failed
    back = api.compare(tmp_path / "other", tmp_path / "one", fail_on_regression=True)
    assert [o.gate.title for o in back.rules if o.fails] == ["the program is at most 1% larger"]
    said = next(line for line in tables.text_lines(found.comparison, columns=60)
                if " ".join(line.split()).endswith("verdict poor against good"))  # fmt: skip
    assert 40 < max(map(len, said.split("\n"))) <= 60
    text = "\n".join(tables.text_lines(found.comparison))
    assert 'quant.rules[0].scheme  "8da8w"  "8da4w"' in text
    assert "torch  2.13.0  2.14.0" in text
    assert "significant: worse" in text
    body = json.loads(json.dumps(found.as_dict()))
    jsonschema.validate(body, SCHEMA)
    assert {"key": "quant.rules[0].scheme", "base": "8da8w", "new": "8da4w"} in body["recipe"]
    assert body["versions"]["gguf"] == {"base": None, "new": "0.19.0"}


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"machine": {"processor": "Another CPU", "logical_cpus": 2}},
         "not comparable: processor Another CPU against Some CPU"),
        ({"machine": {**SLOWED["machine"], "features": [f"extension_{i}" for i in range(9)]}},
         "not comparable: other instruction sets"),
        ({"settings": {**SLOWED["settings"], "threads": 1}},
         "not comparable: threads 1 against 2"),
        ({"conditions": {"other_cpus": 1.5, "disturbed": True}}, "uncertain: B disturbed"),
        ({"decode_tokens_per_second": {"median": 60.0, "min": 59.0, "max": 61.0, "stdev": 1.0}},
         "not tested"),
        ({"decode_tokens_per_second": sampled([60.0])}, "uncertain: a single repetition"),
    ],
)  # fmt: skip
def test_what_cannot_be_claimed(tmp_path: Path, changed: dict[str, Any], finding: str) -> None:
    """It is compared all the same, and the gates know."""
    condition = "worse_by(decode) > 5% and significant(decode)"
    found = compared(tmp_path, BASE, {**SLOWED, **changed}, fail_if=[condition])
    row = found.comparison.row("decode.median")
    assert row.ratio == pytest.approx(0.6, abs=0.01)
    assert row.finding == finding
    assert row.significant is None
    assert f"slower at decode ({finding})" in found.summary.replace("40% (39 to 41%) ", "")
    (gate,) = found.gates
    assert gate.state == "undecided"
    assert found.failed
    assert f"whether decode.median differs is {finding}" in gate.found
    lenient = api.compare(
        tmp_path / "one", tmp_path / "other", fail_if=[condition], allow_missing=True
    )
    assert not lenient.failed
    # Conditions on the numbers themselves hold whatever they are worth.
    plain = api.compare(tmp_path / "one", tmp_path / "other", fail_if=["decode < 0.95 * base"])
    assert plain.gates[0].state == "failed"


def test_what_only_one_side_has(tmp_path: Path) -> None:
    test = {"prompt_length": 128, "decode_length": 32, "depth": 1500, "threads": 2,
            "decode_tokens_per_second": sampled(samples(40.0))}  # fmt: skip
    slower = {**test, "decode_tokens_per_second": sampled(samples(30.0))}
    same = {**BASE["settings"], "depth": 0, "decode_tokens_per_second": sampled([1.0, 2.0])}
    name = "tests['p128 n32 d1500 t2'].decode"
    new = {"speed": {**BASE, "tests": [same, slower], "steady_memory_bytes": 4e8},
           "schemes": {"head": ("8w", 10), "body": ("8da4w", 20)}}  # fmt: skip
    old = {"speed": {**BASE, "tests": [test]}, "schemes": {"head": ("8w", 10)}}
    found = compared(tmp_path, old, new)
    rows = found.comparison.rows
    assert rows[name].significant
    assert [n for n in rows if n.startswith("tests")] == [name]  # the same one is not told twice
    assert rows["memory.steady"].finding == "only in B"
    assert rows["size.scheme['8w']"].finding == "equal"
    assert rows["size.scheme['8da4w']"].finding == "only in B"
    gates = [f"{name} < base", "memory.steady > base", "decode.p99 < 3"]
    again = api.compare(tmp_path / "one", tmp_path / "other", fail_if=gates)
    assert [gate.state for gate in again.gates] == ["failed", "undecided", "undecided"]
    assert again.gates[1].found.startswith("memory.steady was not measured in A (--measure")


def test_an_evaluation_is_compared(tmp_path: Path) -> None:
    for name, value in (("one", 0.5), ("other", 0.3)):
        folder = save(tmp_path / name, BASE)
        score = {"layer": "program", "count": 900, "values": {"acc": value, "extra": 1.0},
                 "errors": {"acc": 0.02}}  # fmt: skip
        column = {"name": "acc", "title": "accuracy", "unit": "share", "higher_is_better": True}
        task = {"task": "arc-easy", "about": "questions", "columns": [column], "scores": [score]}
        body = {"measured": "2026-01-01", "tasks": [task]}
        (folder / "evaluation.json").write_text(json.dumps(body), encoding="utf-8")
    gate = "evaluation['arc-easy'].acc < base - 10%"
    found = api.compare(tmp_path / "one", tmp_path / "other", fail_if=[gate])
    assert found.comparison.rows["evaluation['arc-easy'].acc"].significant
    assert found.gates[0].state == "failed"
    assert any(o.gate.title == "arc-easy: accuracy is no worse" and o.state == "failed"
               for o in found.rules)  # fmt: skip


def test_a_bundle_is_compared_with_its_saved_run(quantized_bundle: Path, tmp_path: Path) -> None:
    """A real one, with its map of modules; the record alone tells the same quality and size."""
    found = api.compare(quantized_bundle / "run.json", quantized_bundle)
    rows = found.comparison.rows
    quality = [row for row in found.comparison.of("quality", all_rows=True) if row.base]
    assert len(quality) >= 4
    assert all(row.ratio == pytest.approx(1) for row in quality)
    assert rows["size.program"].finding == "equal"
    assert "size.module['layers.*.attention.out']" in rows
    assert not any(row.significant for row in rows.values())
    assert found.comparison.recipe == ()
    same = api.compare(quantized_bundle, quantized_bundle, fail_on_regression=True)
    assert not same.failed
    jsonschema.validate(json.loads(json.dumps(same.as_dict())), SCHEMA)
    sizes = [r for n, r in same.comparison.rows.items() if n.startswith("size.scheme")]
    weights = sum(api.weight_sizes(quantized_bundle).values())
    assert sum(r.new.value for r in sizes if r.new) == weights


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "neither a bundle nor the saved results of a run"),
        ({"run.json": "[1"}, "not valid JSON"),
        ({"run.json": "[1]"}, "not a JSON object"),
        ({"evaluation.json": '{"tasks": 3}', "benchmark.json": "{}"}, "another version or damaged"),
        ({"benchmark.json": '{"a": 1}', "recipe.lock.yaml": "- 1"}, "mapping"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=said):
        api.compare(tmp_path, tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    file.write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(BundleError, match=r"neither a run\.json nor a benchmark\.json"):
        api.compare(file, file)
    with pytest.raises(BundleError, match="no such file or folder"):
        api.compare(tmp_path / "none", file)
    saved = save(tmp_path / "one", BASE) / "run.json"
    with pytest.raises(BundleError, match="a saved result cannot be measured anew"):
        api.compare(tmp_path / "one", saved, measure=True)
    with pytest.raises(RecipeError, match="2 to 1000 rounds"):
        api.compare(tmp_path / "one", tmp_path / "one", measure=True, rounds=1)
