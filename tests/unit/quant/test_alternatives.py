"""The option that is named instead of one that loses too much."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_export.api import compose_recipe
from llm_export.config.quant_schema import AutoConfig, QuantConfig
from llm_export.quant.alternatives import better_option, measured, shipped_rules

PAGE = Path(__file__).parents[3] / "docs" / "quality.md"


def advice(name: str, backend: str) -> str | None:
    return better_option(QuantConfig(name=name, rules=shipped_rules()[name]), [backend])


@pytest.mark.parametrize(
    ("name", "backend", "better"),
    [
        ("8da4w", "xnnpack", "quant=8da4w_asym at the same size: mean KL 0.019 instead of 0.15"),
        ("8da4w_asym_small", "xnnpack", "quant=8da4w_asym, the next finer option: mean KL 0.019"),
        ("8da4w_asym", "xnnpack", "quant=8da8w, the next finer option"),
        ("8a8w", "xnnpack", "quant=8da8w"),
        ("4w", "coreml", "quant=8w, the next finer option"),
        ("8w", "openvino", "quant=none"),
    ],
)
def test_better_options(name: str, backend: str, better: str) -> None:
    assert (advice(name, backend) or "").startswith(better)


def test_no_option_is_invented() -> None:
    assert advice("none", "xnnpack") is None
    assert advice("8a8w", "ethos_u") is None, "a backend of integers only has none that is finer"
    budget = better_option(QuantConfig(name="auto", auto=AutoConfig()), ["xnnpack"])
    assert budget is not None
    assert "quant.bits_per_weight" in budget


@pytest.mark.parametrize("name", list(shipped_rules()))
def test_an_advised_option_composes(name: str) -> None:
    told = re.match(r"quant=(\w+)", advice(name, "xnnpack") or "")
    if told:
        recipe = compose_recipe(None, ["model=tiny", "backend=xnnpack", told[0]]).recipe
        assert recipe.quant.name == told[1]


def test_the_evidence_is_that_of_the_quality_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert measured().model in text
    for row in measured().rows:
        line = re.search(rf"^\| {row.quant} \| (.*) \|$", text, re.MULTILINE)
        assert line, row.quant
        cells = line[1].split(" | ")
        assert float(cells[0]) == pytest.approx(row.bytes / 1e6, abs=0.06)
        assert float(cells[3]) == pytest.approx(row.mean_kl, rel=0.01)
        assert float(cells[5]) == pytest.approx(row.top1, abs=6e-4)
