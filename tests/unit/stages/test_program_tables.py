"""Tables of tasks' models that are also their heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_export import api
from llm_export.errors import RecipeError
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.program_artifacts import ProgramQuantized
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.programs.load import load
from llm_export.stages.programs.quantize import quantize

TINY = ["model=tiny_t5", "backend=xnnpack", "quant=8da8w", "verify.tokenizer=false"]


def quantized(out: Path, *words: str) -> tuple[ProgramQuantized, dict[str, Any]]:
    resolved = resolve(api.compose_recipe(None, [*TINY, *words]).recipe)
    ctx = RunContext(out, Reporter(1, quiet=True), StageRecord("test"))
    return quantize(load(Start(), resolved, ctx), resolved, ctx), ctx.record.facts


def test_a_tied_table_is_stored_and_counted_once(tmp_path: Path) -> None:
    tied = "model.config.tie_word_embeddings=true"
    once, facts = quantized(tmp_path, tied)
    assert [c.name for c in once.choices if c.shared_with == "head"] == ["embed"]
    assert facts["tied_embedding"].startswith("stored once")
    twice, facts = quantized(tmp_path, tied, "quant.tied=untied")
    assert facts["tied_embedding"].endswith("quant.tied=untied")
    table = 320 * 64  # the integers; table and head keep scales of their own
    assert twice.predicted_bytes - once.predicted_bytes == table


def test_sharing_what_is_not_tied_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="embedding is not tied to its output matrix"):
        quantized(tmp_path, "quant.tied=share")
