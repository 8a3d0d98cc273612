"""The generic tier of tasks: models of transformers as they stand. Importing it loads neither
torch nor transformers."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import ContextLimit, Definition, LoadedModel, Progress
from llm_export.models.definitions.findings import built, placed
from llm_export.models.programs.library_task import LIBRARY_TASKS, LibraryTask
from llm_export.models.task import task_name, task_options

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

_ANY_CONTEXT = 2


def check(recipe: Recipe) -> None:
    """Raises CheckpointError or MissingDependencyError if transformers cannot build the model."""
    _task(recipe).check(outline(recipe), task_options(recipe), recipe.runtime.context_length)


def context_limit(recipe: Recipe) -> ContextLimit | None:
    """Positions of a learned table count from the padding token's in models of RoBERTa's kind."""
    from llm_export.models.hf.config import context_limit
    from llm_export.models.hf.text_facts import behind_padding

    return behind_padding(context_limit(_config(recipe)), _first_position(recipe))


def _first_position(recipe: Recipe) -> int:
    """Rows of a table of positions before that of a text's first token."""
    table = next(
        (
            m for name, m in outline(recipe).hf.named_modules()
            if name.endswith("position_embeddings") and getattr(m, "padding_idx", None) is not None
        ),
        None,
    )  # fmt: skip
    return 0 if table is None else int(table.padding_idx) + 1


def _stated(recipe: Recipe) -> str:
    return json.dumps({"model_type": recipe.model.family, **recipe.model.config}, sort_keys=True)


def _config(recipe: Recipe) -> Any:
    return _configured(task_name(recipe.model), _stated(recipe))


@lru_cache(maxsize=8)
def _configured(task: str, stated: str) -> Any:
    """The config, which callers do not change: checks ask for it several times."""
    from llm_export.models.hf.config import transformers_config

    of = LIBRARY_TASKS.get(task)
    raw = {k: v for k, v in json.loads(stated).items() if k not in of.added_keys}
    return transformers_config(raw, auto=of.auto)


def _task(recipe: Recipe) -> LibraryTask:
    task = task_name(recipe.model)
    if task not in LIBRARY_TASKS:
        raise CheckpointError(
            f"the generic tier has no models of the task {task} yet", where="model.definition",
            fix="model.definition=composable; llm-export ls task-families lists its models",
        )  # fmt: skip
    return LIBRARY_TASKS.get(task)


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

    config = _config(recipe)
    checkpoint = _opened(recipe, config)
    seed = recipe.checkpoint.random_seed or 0
    model, coverage = _task(recipe).build(
        config, checkpoint, recipe.model.config, context_length, seed
    )
    assert_materialized(model)
    progress(coverage.used, coverage.used)
    return LoadedModel(cast(Any, model), checkpoint, coverage)


def _opened(recipe: Recipe, config: Any) -> Checkpoint:
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.hf.config import require_same_config

    of = _task(recipe)
    rows = int(config.vocab_size)
    found = open_checkpoint(recipe.checkpoint, {}, vocab_size=rows, whole=True)
    if found.naming == "hf":
        require_same_config(config, found, of.auto)
    return of.opened(found)


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and let transformers load the names and shapes of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.checkpoints.beside import alone
    from llm_export.models.hf.weights import require_fit

    model = outline(recipe)
    if not near:
        return built(model)
    config = _config(recipe)
    checkpoint = _opened(recipe, config)
    used = require_fit(config, alone(checkpoint), _task(recipe).auto)
    return placed(model, checkpoint, used)


def outline(recipe: Recipe) -> Any:
    """The model without values.

    Raises:
        CheckpointError: the library cannot build it, or it takes other inputs.
    """
    _task(recipe)
    return _outline(task_name(recipe.model), _stated(recipe))


@lru_cache(maxsize=8)
def _outline(task: str, stated: str) -> Any:
    of = LIBRARY_TASKS.get(task)
    return of.outline(_configured(task, stated), json.loads(stated), _ANY_CONTEXT)


DEFINITION = Definition(
    name="hf",
    check=check,
    load=load,
    attention_kinds=lambda recipe, length: ("plain", "cacheless"),
    tier="generic (transformers)",
    validate_checkpoint=validate_checkpoint,
    context_limit=context_limit,
    outline=outline,
    has_head=lambda recipe: _task(recipe).has_head,
)
