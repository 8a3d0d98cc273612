"""The first stages, one after another."""

from __future__ import annotations

from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Exported, Loaded, Start, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.load import load
from llm_export.stages.quantize import quantize
from llm_export.stages.transform import transform


def transformed_of(recipe: Recipe, ctx: RunContext, loaded: Loaded | None = None) -> Transformed:
    loaded = loaded or load(Start(), resolve(recipe), ctx)
    return quantize(transform(loaded, resolve(recipe), ctx), resolve(recipe), ctx)


def exported_of(recipe: Recipe, ctx: RunContext, loaded: Loaded | None = None) -> Exported:
    return export(transformed_of(recipe, ctx, loaded), resolve(recipe), ctx)
