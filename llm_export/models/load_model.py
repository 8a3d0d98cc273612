"""Build an eager model with weights from a recipe."""

from __future__ import annotations

from llm_export.config.schema import Recipe
from llm_export.models.definitions.base import LoadedModel, Progress
from llm_export.models.task import definition_of


def load_model(
    recipe: Recipe,
    *,
    attention: str,
    context_length: int,
    all_logits: bool,
    progress: Progress = lambda done, total: None,
) -> LoadedModel:
    """Build the model without weights, and stream its checkpoint.

    Args:
        attention: a kind that the definition supports; "cacheless" is the reference.
        context_length: number of cache slots.

    Raises:
        CheckpointError: missing, damaged, or of another architecture.
    """
    definition = definition_of(recipe.model)
    return definition.load(
        recipe,
        attention=attention,
        context_length=context_length,
        all_logits=all_logits,
        progress=progress,
    )
