"""Encoders and encoder–decoders of our own components: a task family's facts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from llm_export.config.schema import ModelConfig, Recipe, filled
from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import ContextLimit, Definition, LoadedModel, Progress
from llm_export.models.definitions.findings import built, placed, require_same_model
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.task import task_name, task_options

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.programs.family import TaskFamily
    from llm_export.models.programs.task_model import TaskModel

_ANY_CONTEXT = 2  # shapes of weights do not depend on it


def family_of(model: ModelConfig) -> TaskFamily:
    """The family of a model option.

    Raises:
        RecipeError: there is no such family.
        CheckpointError: it is of another task.
    """
    family = TASK_FAMILIES.get(model.family)
    if family.task != (task := task_name(model)):
        raise CheckpointError(
            f"models of the family '{family.name}' {family.task}, and cannot {task}",
            where="model.task",
            fix=f"model.task={family.task}",
        )
    return family


def family_config(recipe: Recipe) -> tuple[TaskFamily, Any]:
    """The family and its config of the recipe's model option."""
    family = family_of(recipe.model)
    return family, family.read(recipe.model.config)


def check(recipe: Recipe) -> None:
    """Raises RecipeError or CheckpointError if the family does not support the option."""
    family, config = family_config(recipe)
    family.check_options(config, task_options(recipe), recipe.runtime.context_length)


def context_limit(recipe: Recipe) -> ContextLimit | None:
    family, config = family_config(recipe)
    found = family.context_limit(config)
    return None if found is None else ContextLimit(*found)


def build_on_meta(family: TaskFamily, config: Any, context_length: int) -> TaskModel:
    """The model without values."""
    import torch

    with torch.device("meta"):
        model = family.build(config, context_length)
    model.tie()
    return model.eval().requires_grad_(False)


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
        CheckpointError: see ``load_tensors`` and ``open_checkpoint``.
    """
    from llm_export.models.build import assert_materialized
    from llm_export.models.programs.load_tensors import load_tensors

    family, config = family_config(recipe)
    model = build_on_meta(family, config, context_length)
    checkpoint = _opened(recipe, family, model)
    _require_same_architecture(family, config, checkpoint)
    coverage = load_tensors(model, family, checkpoint, progress)
    if recipe.checkpoint.is_random:
        model.scale_random()
    model.tie()
    model.init_buffers()
    assert_materialized(model)
    return LoadedModel(cast(Any, model), checkpoint, coverage)


def option_remarks(recipe: Recipe, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Options of the task of which the checkpoint's files say something else than the recipe."""
    if recipe.model.family not in TASK_FAMILIES:
        return ()
    ours = task_options(recipe)
    return tuple(
        f"task option {key}: {getattr(ours, key)!r}, where the checkpoint says {value!r}"
        for key, value in family_of(recipe.model).options(checkpoint).items()
        if _plain(getattr(ours, key)) != _plain(value)
    )


def _plain(value: Any) -> Any:
    """Options have tuples where files have lists."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and compare names and shapes with those of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.checkpoints.base import describe_tensors
    from llm_export.models.load_weights import require_shapes
    from llm_export.models.programs.load_tensors import plan_tensors

    family, config = family_config(recipe)
    model = build_on_meta(family, config, filled(recipe.runtime.context_length))
    if not near:
        return built(model)
    shapes = _shapes(model)
    checkpoint = _opened(recipe, family, model)
    _require_same_architecture(family, config, checkpoint)
    infos = describe_tensors(checkpoint)
    plan = plan_tensors(shapes, family, checkpoint.naming, list(infos))
    require_shapes(plan, {name: info.shape for name, info in infos.items()}, shapes)
    return placed(model, checkpoint, len(plan.used))


def outline(recipe: Recipe) -> Any:
    """The model without values; its shapes are known before it is loaded."""
    family, config = family_config(recipe)
    return build_on_meta(family, config, recipe.runtime.context_length or _ANY_CONTEXT)


def _shapes(model: TaskModel) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def _opened(recipe: Recipe, family: TaskFamily, model: TaskModel) -> Checkpoint:
    from llm_export.checkpoints.open import open_checkpoint

    rows = model.metadata.vocab_size
    found = open_checkpoint(recipe.checkpoint, _shapes(model), vocab_size=rows, whole=True)
    return family.opened(found)


def _require_same_architecture(family: TaskFamily, config: Any, checkpoint: Checkpoint) -> None:
    """Compare the family's config of the checkpoint with that of the model option."""
    if checkpoint.naming == "model":
        return
    own = family.read(checkpoint.config())
    here, there = asdict(config), asdict(own)
    differing = [
        f"{key} is {there[key]} there and {here[key]} in the model option"
        for key in here
        if here[key] != there[key]
    ]
    require_same_model(differing, checkpoint)


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    family, config = family_config(recipe)
    return (*family.attention_kinds(config), "plain", "cacheless")


DEFINITION = Definition(
    name="components",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    tier="fast (family {family})",
    validate_checkpoint=validate_checkpoint,
    context_limit=context_limit,
    outline=outline,
    has_head=lambda recipe: family_of(recipe.model).has_head,
    outlier_layers=lambda recipe: family_of(recipe.model).outlier_layers,
    transforms=frozenset({"smooth"}),
    smoothing_refusal=lambda recipe: family_of(recipe.model).smoothing_refusal,
)
