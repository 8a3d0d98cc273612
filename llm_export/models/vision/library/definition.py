"""Any vision-language model of the transformers library whose images become embeddings of a text's
tokens, and nothing else: the generic tier of ``see``. Importing this loads neither torch nor
transformers.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import Recipe, filled
from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import (
    ContextLimit,
    Definition,
    FurtherMethod,
    ImageFacts,
    LoadedModel,
    Progress,
)
from llm_export.models.definitions.findings import built, placed
from llm_export.models.task import task_options

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.vision.config import Size
    from llm_export.models.vision.library.model import LibraryVisionModel

_ANY_CONTEXT = 2  # shapes of weights do not depend on it
_TABLES = "embed_tokens|wte|tok_embeddings|word_embeddings|embed_in|embeddings"


def check(recipe: Recipe) -> None:
    """Raises CheckpointError or MissingDependencyError if transformers cannot build the model, or
    an image is more to it than embeddings.
    """
    outline(recipe)


def load(
    recipe: Recipe,
    *,
    attention: str,
    context_length: int,
    all_logits: bool,
    progress: Progress,
) -> LoadedModel:
    """Build the model with transformers and load the checkpoint.

    Raises:
        CheckpointError: see ``models.hf.weights`` and ``open_checkpoint``.
    """
    from llm_export.models.build import assert_materialized
    from llm_export.models.hf.auto_class import IMAGE_TEXT
    from llm_export.models.hf.weights import filled_model
    from llm_export.models.vision.library.model import LibraryVisionModel
    from llm_export.models.vision.library.parts import split

    images = outline(recipe).config
    config = _new_config(_stated(recipe))
    checkpoint = _opened(recipe, config)
    hf, coverage = filled_model(config, checkpoint, recipe.checkpoint.random_seed, IMAGE_TEXT)
    parts = split(hf, images.unused)
    model = LibraryVisionModel(hf, parts, images, context_length, attention, all_logits)
    assert_materialized(model)
    progress(coverage.used, coverage.used)
    return LoadedModel(model, checkpoint, coverage)


def _opened(recipe: Recipe, config: Any) -> Checkpoint:
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.hf.auto_class import IMAGE_TEXT
    from llm_export.models.hf.config import require_same_config

    model = outline(recipe)
    found = open_checkpoint(
        recipe.checkpoint, {}, vocab_size=model.metadata.vocab_size,
        image_token_id=model.config.image_token_id, whole=True,
    )  # fmt: skip
    if found.naming == "hf":
        require_same_config(config, found, IMAGE_TEXT)
    return found


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and let transformers load the names and shapes of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.models.hf.auto_class import IMAGE_TEXT
    from llm_export.models.hf.weights import require_fit

    model = outline(recipe)
    if not near:
        return built(model)
    config = _config(_stated(recipe))
    checkpoint = _opened(recipe, config)
    return placed(model, checkpoint, require_fit(config, checkpoint, IMAGE_TEXT))


def context_limit(recipe: Recipe) -> ContextLimit | None:
    from llm_export.models.hf.config import context_limit
    from llm_export.models.hf.text_facts import behind_padding

    limit = context_limit(_config(_stated(recipe)).get_text_config(decoder=True))
    return behind_padding(limit, outline(recipe).language.first_position)


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    """As for the generic tier's decoders."""
    from llm_export.models.hf.text_facts import kinds_of

    stated, context = _stated(recipe), filled(recipe.runtime.context_length)
    windows = _windows(stated, context)
    return kinds_of(_fused_obstacle(stated, context), windows, context - prefill_length)


@lru_cache(maxsize=8)
def _fused_obstacle(stated: str, context: int) -> str | None:
    from llm_export.models.hf.probe import fused_obstacle

    return fused_obstacle(_text_part(stated), context)


@lru_cache(maxsize=8)
def _windows(stated: str, context: int) -> tuple[int, ...]:
    from llm_export.models.hf.windows import layer_windows

    return tuple(layer_windows(_text_part(stated), context).values())


def _text_part(stated: str) -> Any:
    """A new one on the meta device, prepared for export."""
    import torch

    from llm_export.models.hf.prepare import prepare
    from llm_export.models.vision.library.parts import split

    with torch.device("meta"):
        text = split(_library_model(stated)).text
        prepare(text)
    return text


def _library_model(stated: str) -> Any:
    from llm_export.models.hf.auto_class import IMAGE_TEXT
    from llm_export.models.hf.config import build_model

    return build_model(_new_config(stated), IMAGE_TEXT)


def outline(recipe: Recipe) -> LibraryVisionModel:
    """The model without values.

    Raises:
        CheckpointError: an image is more to it than embeddings; see ``library.follow``.
        RecipeError: a task option is wrong.
    """
    size = task_options(recipe).image_size
    return _outline(_stated(recipe), None if size is None else tuple(size))


@lru_cache(maxsize=8)
def _outline(stated: str, size: Size | None) -> LibraryVisionModel:
    import torch

    from llm_export.models.hf.text_facts import without_loading
    from llm_export.models.vision.library.follow import followed
    from llm_export.models.vision.library.model import LibraryVisionModel
    from llm_export.models.vision.library.parts import split

    def build(device: str) -> LibraryVisionModel:
        with torch.device(device):
            hf = _library_model(stated)
        images = followed(hf, split(hf), size)
        parts = split(hf, images.unused)
        return LibraryVisionModel(hf, parts, images, _ANY_CONTEXT, "plain", False)

    found = without_loading(build)
    if found is None:
        raise CheckpointError(
            "what this model does with an image cannot be followed before it is loaded",
            where="model.config.model_type",
        )
    return found


def _stated(recipe: Recipe) -> str:
    return json.dumps({"model_type": recipe.model.family, **recipe.model.config}, sort_keys=True)


@lru_cache(maxsize=8)
def _config(stated: str) -> Any:
    """The config, which callers do not change: checks ask for it several times."""
    return _new_config(stated)


def _new_config(stated: str) -> Any:
    """A config for a model, which changes its own."""
    from llm_export.models.hf.auto_class import IMAGE_TEXT
    from llm_export.models.hf.config import transformers_config

    return transformers_config(json.loads(stated), auto=IMAGE_TEXT)


def image_facts(recipe: Recipe) -> ImageFacts:
    images = outline(recipe).config
    return ImageFacts(images.tokens_per_image, images.image_token_id)


def usual_step(recipe: Recipe) -> int | None:
    from llm_export.models.hf.text_facts import step_limit

    return step_limit(outline(recipe).language)


DEFINITION = Definition(
    name="hf",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    tier="generic (transformers)",
    caches=frozenset({"static", "ring"}),
    validate_checkpoint=validate_checkpoint,
    context_limit=context_limit,
    outline=outline,
    recurrent=lambda recipe: outline(recipe).language.recurrent,
    usual_step=usual_step,
    images=image_facts,
    main_method="text_decoder",
    further_methods={
        "token_embedding": FurtherMethod(rf"language\.hf\.(.*\.)?({_TABLES})", any_length=True),
        "vision_encoder": FurtherMethod(r"tower\..*", beside_text=True),
    },
)
