"""Figures with limits."""

from __future__ import annotations

from math import nan

from llm_export.bundle.measures import LOWERING, Measure
from llm_export.json_data import from_json, to_json
from llm_export.tasks.contract import word_of


def test_limits_and_texts() -> None:
    cosine = Measure("cosine", "cosine to float32", 0.9991, LOWERING, limit=0.995,
                     higher_is_better=True)  # fmt: skip
    assert cosine.kept
    assert cosine.text() == "0.9991, at least 0.995"
    error = Measure("error", "largest error", 0.2, LOWERING, "V", limit=0.1)
    assert not error.kept
    assert error.problem() == "largest error 0.2 V, at most 0.1 V"
    assert Measure("free", "free", 1.0, LOWERING).kept
    assert Measure("free", "free", 1234.5, LOWERING, "texts/s").text() == "1234 texts/s"
    assert Measure("free", "free", 198_570.1, LOWERING, "texts/s").text() == "198,600 texts/s"
    assert Measure("free", "free", 9999.6, LOWERING).text() == "10,000"
    assert Measure("free", "free", 1 - 1e-9, LOWERING).text() == "1.0"


def test_nan_keeps_no_limit() -> None:
    for higher in (True, False):
        assert not Measure("x", "x", nan, LOWERING, limit=0.5, higher_is_better=higher).kept


def test_a_measure_survives_json() -> None:
    for limit in (None, 0.5):
        made = Measure("x", "y", 1.0, LOWERING, limit=limit)
        assert from_json(Measure, to_json(made)) == made


def test_words() -> None:
    bounds = (0.9999, 0.999, 0.99, 0.9, 0.5)
    words = [word_of(v, bounds, higher_is_better=True)[0] for v in (1.0, 0.999, 0.95, 0.6, nan)]
    assert words == ["lossless", "near-lossless", "visible loss", "poor", "broken"]
