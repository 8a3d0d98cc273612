"""Check that a pattern of SmoothQuant or AWQ matches whole groups of the model's linears."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_export.config.schema import filled
from llm_export.errors import Problem, RecipeError
from llm_export.resolve.recipe import ResolvedRecipe

if TYPE_CHECKING:
    from llm_export.models.contract import LanguageModel

_ANY = ".*"


def group_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Patterns that match no group of linears that share an input, although they match a linear.
    Builds the model without values, which imports torch."""
    quant = resolved.recipe.quant
    stated = [
        (f"quant.{name}.pattern", group.pattern)
        for name, group in (("smooth", quant.smooth), ("awq", quant.awq))
        if group is not None and group.pattern != _ANY and name in resolved.definition.transforms
    ]
    if not stated or not resolved.task.decodes:
        return
    from llm_export.quant.rules import resolve_rules
    from llm_export.quant.tied import tied_names
    from llm_export.transforms import fuse_projections
    from llm_export.transforms.scale_folding import matching

    model = _built(resolved)
    if resolved.recipe.runtime.fuse_projections:
        for step in fuse_projections.steps(model):
            step.apply(model)
    rules = resolve_rules(model, quant.rules, resolved.backend_of)
    raw = resolved.capabilities.raw_weights
    together = tied_names(model, quant.tied, rules, raw_weights=raw) is not None
    together = together and resolved.definition.tied(resolved.recipe)  # a rotation may part them
    for key, pattern in stated:
        try:
            matching(model.text_model(), pattern, key, with_head=not together)
        except RecipeError as error:
            yield Problem(error.what, error.where or key, error.fix or f"{key}='{_ANY}'")


def _built(resolved: ResolvedRecipe) -> LanguageModel:
    recipe, outline = resolved.recipe, resolved.definition.outline
    made = None if outline is None else outline(recipe)
    if made is not None:
        return made
    from llm_export.models.build import build_on_meta
    from llm_export.models.definitions.composable import decoder_config

    config = decoder_config(recipe)[1]
    return build_on_meta(config, filled(recipe.runtime.context_length), "plain", False)
