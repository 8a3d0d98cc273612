"""Any decoder of the transformers library, exported unchanged: the generic tier.

Importing this loads neither torch nor transformers. Checking a recipe does, because only the
library can interpret a config.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import Recipe, filled
from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import ContextLimit, Definition, LoadedModel, Progress
from llm_export.models.definitions.findings import built, placed

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.hf.model import HFModel

_ANY_CONTEXT = 2  # shapes of weights do not depend on it


def check(recipe: Recipe) -> None:
    """Raises CheckpointError or MissingDependencyError if transformers cannot build the model, or
    it keeps more than keys, values and recurrent states.
    """
    outline(recipe)


def recurrent(recipe: Recipe) -> bool:
    """Whether the model keeps a recurrent state, for as much as is known before loading."""
    from llm_export.compat.transformers_models import is_stateful
    from llm_export.models.hf.config import model_class

    model = outline(recipe)
    return is_stateful(model_class(_config(_stated(recipe)))) if model is None else model.recurrent


def usual_step(recipe: Recipe) -> int | None:
    """A limit for recurrences that are computed in one block."""
    from llm_export.models.hf.text_facts import step_limit

    model = outline(recipe)
    return None if model is None else step_limit(model)


def context_limit(recipe: Recipe) -> ContextLimit | None:
    from llm_export.models.hf.config import context_limit
    from llm_export.models.hf.text_facts import behind_padding

    limit, model = context_limit(_config(_stated(recipe))), _built(recipe)
    return behind_padding(limit, 0 if model is None else model.first_position)


def _built(recipe: Recipe) -> HFModel | None:
    """The model without values, or None if it is refused, which other checks report."""
    try:
        return outline(recipe)
    except CheckpointError:
        return None


def _stated(recipe: Recipe) -> str:
    return json.dumps({"model_type": recipe.model.family, **recipe.model.config}, sort_keys=True)


@lru_cache(maxsize=8)
def _config(stated: str) -> Any:
    """The config, which callers do not change: checks ask for it several times."""
    from llm_export.models.hf.config import transformers_config

    return transformers_config(json.loads(stated))


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
    from llm_export.models.hf.config import transformers_config
    from llm_export.models.hf.model import HFModel
    from llm_export.models.hf.prepare import prepare
    from llm_export.models.hf.weights import filled_model

    config = transformers_config(recipe.model.config, recipe.model.family)
    checkpoint = _opened(recipe, config)
    hf, coverage = filled_model(config, checkpoint, recipe.checkpoint.random_seed)
    if attention != "cacheless":
        prepare(hf)
    model = HFModel(hf, context_length, attention, all_logits)
    assert_materialized(model)
    progress(coverage.used, coverage.used)
    return LoadedModel(model, checkpoint, coverage)


def _opened(recipe: Recipe, config: Any) -> Checkpoint:
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.hf.config import require_same_config

    # For random weights, whose tokenizer only needs the vocabulary size.
    shapes = {"embed.weight": (config.vocab_size, config.hidden_size)}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    if checkpoint.naming == "hf":
        require_same_config(config, checkpoint)
    return checkpoint


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and let transformers load the names and shapes of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.models.hf.weights import require_fit

    config = _config(_stated(recipe))
    model = outline(recipe) or _library_model(_stated(recipe), "meta")
    if not near:
        return built(model)
    checkpoint = _opened(recipe, config)
    return placed(model, checkpoint, require_fit(config, checkpoint))


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    """ "custom_op" is included only if a run on the meta device shows that it is equivalent, "ring"
    if one shows a window that is shorter than the context.
    """
    from llm_export.models.hf.text_facts import kinds_of

    stated, context = _stated(recipe), filled(recipe.runtime.context_length)
    windows, longest = _windows(stated, context), context - prefill_length
    return kinds_of(_fused_obstacle(stated, context), windows, longest)


@lru_cache(maxsize=8)
def _fused_obstacle(stated: str, context: int) -> str | None:
    from llm_export.models.hf.probe import fused_obstacle

    return fused_obstacle(_library_model(stated, "meta"), context)


@lru_cache(maxsize=8)
def _windows(stated: str, context: int) -> tuple[int, ...]:
    from llm_export.models.hf.windows import layer_windows

    return tuple(layer_windows(_library_model(stated, "meta"), context).values())


def _library_model(stated: str, device: str) -> Any:
    """A new model of the library, prepared for export."""
    import torch

    from llm_export.models.hf.config import build_model, transformers_config
    from llm_export.models.hf.prepare import prepare

    with torch.device(device):
        model = build_model(transformers_config(json.loads(stated)))
    prepare(model)
    return model


def outline(recipe: Recipe) -> HFModel | None:
    """The model without values; None if its step cannot be followed without them.

    Raises:
        CheckpointError: see ``models.hf.model``.
    """
    return _outline(_stated(recipe))


@lru_cache(maxsize=8)
def _outline(stated: str) -> HFModel | None:
    from llm_export.models.hf.model import HFModel
    from llm_export.models.hf.text_facts import without_loading

    return without_loading(
        lambda device: HFModel(_library_model(stated, device), _ANY_CONTEXT, "plain", False)
    )


DEFINITION = Definition(
    name="hf",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    caches=frozenset({"static", "ring"}),
    context_limit=context_limit,
    validate_checkpoint=validate_checkpoint,
    outline=outline,
    recurrent=recurrent,
    usual_step=usual_step,
    tier="generic (transformers)",
)
