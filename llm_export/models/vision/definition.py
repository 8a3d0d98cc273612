"""Vision-language models of our own components: a vision family's facts and a decoder family's."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from llm_export.config.schema import ModelConfig, Recipe, filled
from llm_export.models.definitions import composable
from llm_export.models.definitions.base import (
    ContextLimit,
    Definition,
    FurtherMethod,
    ImageFacts,
    LoadedModel,
    Progress,
)
from llm_export.models.definitions.findings import built, placed, require_same_model
from llm_export.models.task import task_options
from llm_export.models.vision.config import VisionConfig, kinds_for
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.families.base import VisionFamily, completed, text_family

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.vision.model import VisionLanguageModel

_ANY_CONTEXT = 2  # shapes of weights do not depend on it


def family_config(recipe: Recipe) -> tuple[VisionFamily, VisionConfig]:
    """The family and the config of the recipe's model option."""
    family = VISION_FAMILIES.get(recipe.model.family)
    size = task_options(recipe).image_size
    return family, family.read(recipe.model.config, None if size is None else tuple(size))


def text_recipe(recipe: Recipe) -> Recipe:
    """The same recipe for the decoder alone, of which its definition knows all that concerns
    text.
    """
    family, config = family_config(recipe)
    stated = recipe.model.config
    tied = config.language.tied_embeddings
    text = {**family.plain_text(stated["text_config"]), "tie_word_embeddings": tied}
    text = {key: value for key, value in text.items() if key not in family.text_unused}
    name = text_family(stated, family.text).name
    model = ModelConfig(recipe.model.name, recipe.model.definition, family=name, config=text)
    return replace(recipe, model=model)


def check(recipe: Recipe) -> None:
    """Raises RecipeError or CheckpointError if the family does not support the option."""
    composable.check(text_recipe(recipe))


def load(
    recipe: Recipe,
    *,
    attention: str,
    context_length: int,
    all_logits: bool,
    progress: Progress,
) -> LoadedModel:
    """Build on meta, check that the checkpoint has this architecture, and stream its weights.

    Raises:
        CheckpointError: see ``load_vision_weights`` and ``open_checkpoint``.
    """
    from llm_export.models.build import assert_materialized
    from llm_export.models.vision.load_weights import load_vision_weights
    from llm_export.models.vision.model import build_on_meta, with_ropes_for

    family, config = family_config(recipe)
    # The reference has shorter caches than the program, and the program's frequencies.
    config = with_ropes_for(config, recipe.runtime.context_length or context_length)
    model = build_on_meta(config, context_length, attention, all_logits)
    checkpoint = _opened(recipe, model)
    _require_same_architecture(family, recipe, checkpoint)
    coverage = load_vision_weights(model, family, recipe.model.config, checkpoint, progress)
    model.init_buffers()
    assert_materialized(model)
    return LoadedModel(model, checkpoint, coverage)


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and compare names and shapes with those of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.models.vision.load_weights import require_fit

    model = outline(recipe)
    if not near:
        return built(model)
    checkpoint = _opened(recipe, model)
    family = VISION_FAMILIES.get(recipe.model.family)
    _require_same_architecture(family, recipe, checkpoint)
    used = require_fit(model, family, recipe.model.config, checkpoint)
    return placed(model, checkpoint, used)


def outline(recipe: Recipe) -> VisionLanguageModel:
    """The model without values; its shapes are known before it is loaded."""
    from llm_export.models.vision.model import build_on_meta

    context = filled(recipe.runtime.context_length) if recipe.runtime.context_length else None
    return build_on_meta(family_config(recipe)[1], context or _ANY_CONTEXT, "plain", False)


def context_limit(recipe: Recipe) -> ContextLimit:
    return composable.context_limit(text_recipe(recipe))


def image_facts(recipe: Recipe) -> ImageFacts:
    config = family_config(recipe)[1]
    return ImageFacts(config.tokens_per_image, config.image_token_id)


def _rotation_refusals(recipe: Recipe) -> dict[str, str]:
    found = dict(composable.DEFINITION.rotation_refusals(text_recipe(recipe)))
    asked = recipe.quant.rotate
    if asked is not None and asked.r1:
        found["r1"] = (
            "the residual stream cannot be rotated: what encodes images writes into it, and would "
            "not be"
        )
    return found


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    kinds = composable.attention_kinds(text_recipe(recipe), prefill_length)
    config = family_config(recipe)[1]
    return kinds_for(config.language, kinds, config.bidirectional)


def _opened(recipe: Recipe, model: VisionLanguageModel) -> Checkpoint:
    from llm_export.checkpoints.open import open_checkpoint

    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return open_checkpoint(
        recipe.checkpoint, shapes, vocab_size=model.metadata.vocab_size,
        image_token_id=model.config.image_token_id, whole=True,
    )  # fmt: skip


def _require_same_architecture(
    family: VisionFamily, recipe: Recipe, checkpoint: Checkpoint
) -> None:
    """Compare the family's config of the checkpoint with that of the model option."""
    if checkpoint.naming == "model":
        return
    here = family_config(recipe)[1]
    there = family.read(completed(checkpoint.config()), here.image_size)
    option, own = asdict(here), asdict(there)
    own["language"]["max_positions"] = option["language"]["max_positions"]
    differing = [
        f"{key} is {theirs} there and {ours} in the model option"
        for key, ours, theirs in composable.differences("", option, own)
    ]
    require_same_model(differing, checkpoint)


DEFINITION = Definition(
    name="vision",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    tier="fast (family {family})",
    transforms=composable.DEFINITION.transforms,
    caches=composable.DEFINITION.caches,
    validate_checkpoint=validate_checkpoint,
    context_limit=context_limit,
    outline=outline,
    recurrent=lambda recipe: composable.DEFINITION.recurrent(text_recipe(recipe)),
    usual_step=lambda recipe: composable.DEFINITION.usual_step(text_recipe(recipe)),
    rope_factors=lambda recipe, length: composable.rope_factors(text_recipe(recipe), length),
    remarks=lambda recipe, length: composable.remarks(text_recipe(recipe), length),
    rotation_refusals=_rotation_refusals,
    images=image_facts,
    main_method="text_decoder",
    further_methods={
        "token_embedding": FurtherMethod(r"language\.embed", any_length=True),
        "vision_encoder": FurtherMethod(r"(tower|projector)\..*", beside_text=True),
    },
)
