"""The first stages, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Exported, Loaded, Lowered, Start, Transformed
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.load import load
from llm_export.stages.lower import lower
from llm_export.stages.quantize import quantize
from llm_export.stages.transform import transform
from llm_export.stages.verification.logits import eager_logits
from runtime_py.program import Program


def transformed_of(recipe: Recipe, ctx: RunContext, loaded: Loaded | None = None) -> Transformed:
    loaded = loaded or load(Start(), resolve(recipe), ctx)
    return quantize(transform(loaded, resolve(recipe), ctx), resolve(recipe), ctx)


def exported_of(recipe: Recipe, ctx: RunContext, loaded: Loaded | None = None) -> Exported:
    return export(transformed_of(recipe, ctx, loaded), resolve(recipe), ctx)


def beside_eager(
    recipe: Recipe, ids: Sequence[int], folder: Path
) -> tuple[Lowered, Tensor, Tensor]:
    """The program of a recipe with runtime=static and a stated context, lowered into ``folder``;
    its logits for ``ids``, one token per step; and those of its eager model."""
    ctx = RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    done = lower(exported, resolve(recipe), ctx)
    length = recipe.runtime.context_length
    assert length is not None
    program = Program(done.program_file, context_length=length, steps={"forward": 1}, dynamic=False)
    said = torch.stack([program.step([token])[0, -1] for token in ids])
    model = done.transformed.model
    model.init_buffers()
    return done, said, eager_logits(model, list(ids))
