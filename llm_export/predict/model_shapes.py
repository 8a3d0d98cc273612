"""The shapes of a recipe's model: from the config in the fast tier, which imports no torch, and
from a model on the meta device in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.config.schema import Recipe, filled
from llm_export.models.definitions.composable import decoder_config, is_tied
from llm_export.models.task import definition_of
from llm_export.predict.shapes import (
    DecoderShapes,
    Matrix,
    ModelShapes,
    shapes_of_decoder,
    with_parts,
    with_rotations,
)
from llm_export.resolve.recipe import ResolvedRecipe

if TYPE_CHECKING:
    from llm_export.models.contract import LanguageModel

_FAST = "composable"


def has_known_layers(recipe: Recipe) -> bool:
    """Whether the layers of its model are known before it is loaded."""
    return definition_of(recipe.model).name == _FAST


def is_of_family(recipe: Recipe) -> bool:
    """Whether a family here builds its model, a decoder or another."""
    return recipe.model.definition == _FAST


def decoder_shapes(resolved: ResolvedRecipe) -> DecoderShapes | None:
    """None where the model is not of the fast tier.

    Raises:
        CheckpointError: the model's option is not understood.
    """
    recipe = resolved.recipe
    if not has_known_layers(recipe):
        return None
    context = filled(recipe.runtime.context_length)
    config = decoder_config(recipe)[1]
    shapes = shapes_of_decoder(config, context, recipe.runtime.fuse_projections)
    shapes = with_rotations(shapes, config, recipe.quant.rotate, tied=is_tied(recipe))
    return with_parts(shapes, recipe.quant.head_split)


def shapes_of(resolved: ResolvedRecipe) -> ModelShapes | None:
    """None where the shapes are not known before the model is loaded.

    Raises:
        CheckpointError: the model's option is not understood, or transformers cannot build it.
    """
    outline = resolved.definition.outline
    if outline is None:
        return decoder_shapes(resolved)
    model = outline(resolved.recipe)
    return None if model is None else shapes_of_model(model)


def shapes_of_model(model: LanguageModel) -> ModelShapes:
    """The shapes of a model on any device."""
    from llm_export.quant.rules import kind_of

    matrices, weights = [], set[str]()
    for name, module in model.named_modules():
        kind = kind_of(model, name, module)
        if kind is not None:
            rows, columns = map(int, module.weight.shape)
            bias = getattr(module, "bias", None) is not None
            matrices.append(Matrix(name, kind, rows, columns, bias))
            weights.add(f"{name}.weight")
    parameters = model.named_parameters(remove_duplicate=False)
    return ModelShapes(
        tuple(matrices),
        other=sum(p.numel() for name, p in parameters if name not in weights),
        tables=sum(b.numel() for name, b in model.named_buffers() if "cache" not in name),
        vocab_size=model.metadata.vocab_size,
        tied=model.metadata.tied_embeddings,
    )
