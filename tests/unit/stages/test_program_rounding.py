"""Rounding of tasks' models whose calibration text can run through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_export import api
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.programs.load import load
from llm_export.stages.programs.quantize import quantize

WORDS = ["model=tiny_embed", "backend=xnnpack", "quant=8da8w", "quant.calibration.tokens=64",
         "quant.rules=[{kind: linear, scheme: 8da8w}]", "verify.tokenizer=false"]  # fmt: skip


@pytest.mark.parametrize(("method", "widest"), [("gptq", "64"), ("mse", "null")])
def test_calibration_text_runs_through_encoders(method: str, widest: str, tmp_path: Path) -> None:
    own = [f"quant.rounding.method={method}", f"quant.rounding.widest={widest}"]
    resolved = resolve(api.compose_recipe(None, [*WORDS, *own]).recipe)
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    quantize(load(Start(), resolved, ctx), resolved, ctx)
    noted: Any = ctx.record.facts["rounding"]
    assert noted["tokens"] >= 64
    assert noted["without_inputs"] == []
    assert set(noted["methods"]) == ({"gptq", "mse"} if widest == "64" else {method})
