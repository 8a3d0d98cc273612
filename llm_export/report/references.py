"""Whether a recipe asks the float32 model its questions."""

from __future__ import annotations

from llm_export.config.schema import Recipe

_ANSWER_TOKENS = 64
_AT_MOST = 400_000_000
"""Parameters of a float32 model that is asked unless the recipe says otherwise. A decoded token
reads all its weights, 1.6 GB."""


def answer_tokens(recipe: Recipe) -> int:
    """Most tokens of an answer to a question of the recipe."""
    return min(_ANSWER_TOKENS, recipe.runtime.sampling.max_new_tokens)


def skipped_because(recipe: Recipe, parameters: int) -> str:
    """Why the recipe does not ask the float32 model; empty if it does.

    Args:
        parameters: of the model.
    """
    if recipe.deploy.reference is not None:
        return "" if recipe.deploy.reference else "deploy.reference=false"
    if not recipe.verify.enabled:
        return "the recipe does not verify the program"
    if recipe.checkpoint.is_random:
        return "its weights are random"
    if parameters > _AT_MOST:
        return f"it has more than {_AT_MOST // 10**6} million parameters; deploy.reference=true"
    return ""
