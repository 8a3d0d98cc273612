"""The pages of recipes are of these files and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recipe_cards as cards
from llm_export import api

EVIDENCE: dict[str, dict[str, Any]] = json.loads(cards.EVIDENCE.read_text(encoding="utf-8"))


@pytest.fixture(
    scope="module", params=["some estimates", pytest.param("all", marks=pytest.mark.slow)]
)
def made(request: pytest.FixtureRequest) -> Iterator[dict[Path, str]]:
    """What would be made, with the estimate of each sixth recipe computed, or of each. The other
    rows are taken from the page, if it has them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "all":
            computed, page = cards._expected, cards.PAGES[0].read_text(encoding="utf-8")
            rows = {line.split("`")[1]: line for line in page.splitlines(keepends=True)
                    if line.startswith("| `")}  # fmt: skip
            kept = {name for at, name in enumerate(cards.names()) if at % 6 and name in rows}
            patch.setattr(cards, "_expected", lambda n: rows[n] if n in kept else computed(n))
        yield cards.made(EVIDENCE)


def test_pages_and_recipes_are_as_they_would_be_made(made: dict[Path, str]) -> None:
    """Else: python benchmarks/recipe_cards.py"""
    assert set(made) > set(cards.PAGES)
    for file, text in made.items():
        assert file.read_text(encoding="utf-8") == text, file.name


def test_every_recipe_has_a_row_and_figures_are_of_recipes() -> None:
    text = cards.PAGES[0].read_text(encoding="utf-8")
    measured, expected = text.split("## Expected, not measured")
    for name in cards.names():
        assert (f"| `{name}` |" in measured) == (name in EVIDENCE)
        assert (f"| `{name}` |" in expected) == (name not in EVIDENCE)
    assert EVIDENCE.keys() <= set(cards.names())


@pytest.mark.parametrize("name", EVIDENCE)
def test_figures_are_within_the_recipes_own_limit(name: str) -> None:
    recipe = api.compose_recipe(name).recipe
    assert EVIDENCE[name]["mean_kl"] < recipe.quant.max_mean_kl
    assert EVIDENCE[name]["ran"] == (EVIDENCE[name]["speed"] is not None)


def test_the_other_load_is_what_others_did_while_the_speeds_were_measured(tmp_path: Path) -> None:
    assert cards.other_load(tmp_path) is None
    conditions = {"load_average_before": 1.43, "other_cpus": 0.006, "disturbed": False}
    (tmp_path / "benchmark.json").write_text(json.dumps({"conditions": conditions}))
    assert cards.other_load(tmp_path) == 0.0
    (tmp_path / "benchmark.json").write_text("{}")  # of a machine that does not tell
    assert cards.other_load(tmp_path) is None


def test_a_line_on_a_measurement_is_replaced_and_removed() -> None:
    row = next(iter(EVIDENCE.values()))
    text = "# llm-export run x\ndefaults: []\n"
    written = cards.with_line(text, row)
    assert written.splitlines()[1].startswith(cards.MARK)
    assert cards.with_line(written, {**row, "bytes": 5_000_000}).count(cards.MARK) == 1
    assert cards.with_line(written, None) == text


def test_figures_are_read_from_a_bundle(quantized_bundle: Path) -> None:
    facts = cards.facts_of(quantized_bundle)
    assert facts["bytes"] == (quantized_bundle / "model.pte").stat().st_size
    assert facts["ran"]
    assert facts["speed"] is None  # the bundle was made with benchmark=off
    assert 0 < facts["mean_kl"] < 0.1
