"""From a folder of weights to a program on disk, without a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from parity_tools import program_at, recipe_for
from stage_tools import exported_of

from llm_export import api
from llm_export.checks.rules import require_sound
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.json_data import to_json
from llm_export.models.detect import detect_model
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower
from runtime_py.program import Program


def lowered_program(folder: Path, out: Path, *overrides: str) -> tuple[Program, RunContext]:
    """The program of a Hugging Face folder, and what its stages noted."""
    recipe: Recipe = recipe_for(folder, *overrides)
    require_sound(recipe)
    ctx = RunContext(out, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    file = lower(exported, resolve(recipe), ctx).program_file
    return program_at(file, recipe, **to_json(exported.transformed.model.cache_metadata())), ctx


def bundle_of(folder: Path, out: Path, *overrides: str) -> Path:
    """A full run over a Hugging Face folder."""
    words = ["model=tiny", "benchmark=off", "verify.positions=150", "verify.window=80",
             "verify.prefill=12", *overrides, f"out={out}"]  # fmt: skip
    composed = api.compose_recipe(None, words)
    source = CheckpointConfig(path=str(folder))
    model = detect_model(source, composed.recipe.runtime.default_context)
    recipe = replace(composed.recipe, model=model, checkpoint=source)
    return api.run_recipe(replace(composed, recipe=recipe), quiet=True).bundle


def fed(program: Program, ids: list[int], sizes: list[int]) -> torch.Tensor:
    """Logits of the last token of each step: chunks of ``sizes``, then one token at a time."""
    program.reset()
    rows, start = [], 0
    for size in sizes:
        rows.append(program.step(ids[start : start + size])[0, -1])
        start += size
    rows += [program.step([token])[0, -1] for token in ids[start:]]
    return torch.stack(rows).float()


def ends(count: int, sizes: list[int]) -> list[int]:
    """The positions whose logits ``fed`` returns."""
    last = [sum(sizes[: i + 1]) - 1 for i in range(len(sizes))]
    return last + list(range(sum(sizes), count))
