"""What a tune asks for and makes of results, without any export."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.search_space import Parameter
from llm_export.errors import InputError, LlmExportError, MissingDependencyError, RecipeError
from llm_export.sweep.measure import Measure
from llm_export.sweep.state import DONE, FAILED, REFUSED, Failure, Results, Row
from llm_export.tune.budget import Budget, budget_of
from llm_export.tune.front import nearest
from llm_export.tune.measures import Requirement, objective, requirement
from llm_export.tune.study import Asked, Study, differing, spent
from llm_export.tune.table import screen

SPACE = (Parameter("quant", ("none", "8da8w", "8da4w")), Parameter("x", ("1", "2")))
GOALS = (objective("quality"), objective("size"))


def study(folder: Path, *, goals: tuple[Measure, ...] = GOALS, space: tuple[Parameter, ...] = SPACE,
          bounds: tuple[Requirement, ...] = (), **signature: object) -> Study:  # fmt: skip
    return Study(folder, space, goals, bounds, dict(signature))


def row(words: tuple[str, ...], kl: float, mb: float, state: str = DONE) -> Row:
    results = Results(mb, None, None, values={"mean_kl": kl}) if state == DONE else None
    error = None if state == DONE else Failure("why", "why", 2, "RecipeError")
    return Row("+".join(words), list(words), dict(zip(("quant", "x"), words, strict=False)), "/b",
               state, 1.5, error=error, results=results)  # fmt: skip


def drain(of: Study, most: int = 99) -> list[tuple[str, ...]]:
    """Try everything; quality and size of a combination are its place in the space."""
    found: list[tuple[str, ...]] = []
    while len(found) < most and (asked := of.ask()) is not None:
        place = SPACE[0].choices.index(asked.words[0])
        of.tell(asked, row(asked.words, place + 1, 100 - 10 * place + int(asked.words[1])))
        found.append(asked.words)
    return found


def test_a_finite_space_is_tried_once_each_across_commands(tmp_path: Path) -> None:
    first = drain(study(tmp_path, space=SPACE), 2)
    again = study(tmp_path)
    assert [r.name for r in again.rows()] == ["+".join(words) for words in first]
    rest = drain(again)
    assert len({*first, *rest}) == len(first) + len(rest) == 6
    assert again.ask() is None
    # x=2 is worse in size and equal in quality, so that it is on no front.
    assert {r.swept["x"] for r in again.front()} == {"1"}
    assert {r.swept["quant"] for r in again.front()} == set(SPACE[0].choices)


def test_what_was_interrupted_is_tried_again_first(tmp_path: Path) -> None:
    asked = study(tmp_path).ask()
    assert asked is not None
    resumed = study(tmp_path).ask()
    assert resumed is not None
    assert resumed.words == asked.words


def test_infeasible_trials_are_on_no_front(tmp_path: Path) -> None:
    of = study(tmp_path, bounds=(requirement("pte_mb < 95"), requirement("mean_kl<=2")))
    drain(of)
    assert [r.name for r in of.front()] == ["8da8w+1"]
    folder = tmp_path / "refused"
    folder.mkdir()
    other = study(folder)
    while (asked := other.ask()) is not None:
        other.tell(asked, row(asked.words, 0, 0, REFUSED))
    assert other.front() == []
    assert spent(other.rows()) == (0, 0.0)


def test_what_was_not_measured_is_named(tmp_path: Path) -> None:
    of = study(tmp_path, goals=(objective("decode"), objective("quality")))
    asked = of.ask()
    assert isinstance(asked, Asked)
    told = row(asked.words, math.nan, 1.0)
    assert of.tell(asked, told) == "decode, mean_kl"
    (kept,) = of.rows()
    for one in (told, kept):
        assert one.state == FAILED
        assert one.error is not None
        assert one.error.line == "not measured: decode, mean_kl"
    assert of.front() == []


def test_another_command_is_refused_with_what_differs(tmp_path: Path) -> None:
    study(tmp_path, space_={"quant": {"choices": ["none"]}}, objective=["mean_kl:min"])
    study(tmp_path, space_={"quant": {"choices": ["none"]}}, objective=["mean_kl:min"])
    with pytest.raises(RecipeError) as caught:
        study(tmp_path, space_={"quant": {"choices": ["none", "8da8w"]}}, objective=["pte_mb:min"])
    assert "space_.quant.choices: none then, none, 8da8w now" in str(caught.value)
    assert "objective: mean_kl:min then, pte_mb:min now" in str(caught.value)
    assert "another out=FOLDER" in str(caught.value)
    assert differing({"a": {"b": 1}}, {"a": {"b": 1}, "c": [2]}) == ["  c: nothing then, 2 now"]


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database " * 100)
    with pytest.raises(InputError, match="the study cannot be opened"):
        study(tmp_path)


NUMBER = st.floats(-1e6, 1e6)


@given(points=st.lists(st.tuples(NUMBER, st.floats(0.1, 1e6)), min_size=1, max_size=8))
def test_the_best_of_a_front_is_one_that_no_other_beats(points: list[tuple[float, float]]) -> None:
    rows = [row((str(i), "1"), kl, mb) for i, (kl, mb) in enumerate(points)]
    best = nearest(rows, GOALS)
    assert best is not None
    assert best.results is not None
    kl, mb = best.results.values["mean_kl"], best.results.pte_mb
    spans = [max(c) - min(c) for c in zip(*points, strict=True)]
    if all(span > 1e-3 for span in spans):
        assert not any(a < kl and b < mb for a, b in points)


@given(value=NUMBER, bound=NUMBER, sign=st.sampled_from(["<", "<=", ">", ">="]))
def test_a_requirement_is_violated_where_its_comparison_is_false(
    value: float, bound: float, sign: str
) -> None:
    found = requirement(f"mean_kl {sign} {bound!r}")
    excess = found.violation(Results(1.0, None, None, values={"mean_kl": value}))
    holds = {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}
    assert excess is not None
    assert (excess <= 0) is holds[sign]


@pytest.mark.parametrize(
    ("text", "name", "maximize"),
    [("quality", "mean_kl", False), ("size", "pte_mb", False), ("decode", "decode", True),
     ("top1", "top1_agreement", True), ("tool_calls.exact:max", "tool_calls.exact", True)],
)  # fmt: skip
def test_objectives_have_the_directions_of_their_metrics(
    text: str, name: str, maximize: bool
) -> None:
    found = objective(text)
    assert (found.name, found.maximize) == (name, maximize)


@pytest.mark.parametrize(
    ("what", "given", "said"),
    [
        ("objectives", ["qualty"], "there is no measure 'qualty'"),
        ("objectives", ["quality:max"], "the smaller is the better"),
        ("objectives", ["quality:up"], "'up' is no direction"),
        ("objectives", ["tool_calls.exact"], "tool_calls.exact:min or tool_calls.exact:max"),
        ("objectives", ["quality", "mean_kl"], "named twice"),
        ("objectives", [], "no objective is named"),
        ("objectives", ["decode"], "decode is not measured: benchmark is off"),
        ("require", ["mean_kl"], "this is no requirement"),
        ("require", ["mean_kl < low"], "this is no requirement"),
        ("require", ["pte < 3"], "there is no measure 'pte'"),
        ("budget", "3 days", "'3 days' is no budget"),
        ("budget", "1.5runs", "is no budget"),
        ("budget", "0h", "is no budget"),
    ],
)
def test_wrong_arguments_are_told_before_work(
    what: str, given: object, said: str, tmp_path: Path
) -> None:
    words = ["model=tiny", "quant=none,8da8w", "benchmark=off", f"out={tmp_path}/out"]
    with pytest.raises(LlmExportError) as caught:
        api.tune(None, words, **{"objectives": ["size"], what: given})  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_package_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    words = ["model=tiny", "quant=none,8da8w", f"out={tmp_path}/out"]
    with pytest.raises(MissingDependencyError, match="needs the package 'optuna'") as caught:
        api.tune(None, words)
    assert caught.value.fix == "pip install 'llm_export[tune]'"
    assert not (tmp_path / "out").exists()


def test_budgets() -> None:
    assert budget_of([]) == Budget(20, None)
    assert budget_of(["2h", "5runs"]) == budget_of(["2h,5runs"]) == Budget(5, 7200.0)
    limit = budget_of(["3runs", "1min"])
    assert limit.spent(2, 59.0) == ""
    assert "3 of 3 runs" in limit.spent(3, 0.0)
    assert "seconds" in limit.spent(0, 61.0)


def test_the_screen_shows_front_and_trials_in_a_hundred_columns() -> None:
    rows = [row(("none", "1"), 0.0, 5.0), row(("8da8w", "1"), 0.1, 2.0),
            row(("8da4w", "2"), 0, 0, FAILED)]  # fmt: skip
    bound = (requirement("mean_kl < 1"),)
    text = screen(rows, rows[:2], rows[1], GOALS, bound, "3 of 3 runs are done")
    assert "2 trials are done, 1 failed; 3 of 3 runs are done." in text
    assert "Wanted: smallest mean_kl, smallest pte_mb." in text
    assert "Required: mean_kl < 1." in text
    assert text.index("front/none+1.yaml") < text.index("best.yaml")
    assert max(map(len, text.splitlines())) <= 100
    none = screen(rows, [], None, GOALS, (requirement("pte_mb < 1"),), "x")
    assert "No trial keeps every requirement; 8da8w+1 is the nearest to it." in none


def test_the_checks_refuse_everything_before_any_work(tmp_path: Path) -> None:
    """Refused suggestions are no runs, and the folder says why."""
    words = ["model=tiny", "backend=portable", "quant=8da8w,8da4w", f"out={tmp_path}/out"]
    found = api.tune(None, words, objectives=["size"], quiet=True)
    assert found.ended == "every combination was tried"
    assert [r.state for r in found.rows] == [REFUSED, REFUSED]
    assert (found.best, found.recipe, found.exit_code) == (None, None, 1)
    body = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert body["best"] is None
    assert "portable cannot run" in body["trials"][0]["error"]["line"]
    with pytest.raises(RecipeError, match=r"space.quant.choices: 8da8w, 8da4w then, 8da8w, 8w now"):
        api.tune(None, [w.replace("8da4w", "8w") for w in words], objectives=["size"], quiet=True)
