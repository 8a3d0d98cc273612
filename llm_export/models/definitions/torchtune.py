"""torchtune's models: its builders and modules, exported with our attention."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from llm_export.compat.torchtune_package import missing_torchtune, torchtune_is_installed
from llm_export.config.schema import Recipe, filled
from llm_export.errors import CheckpointError
from llm_export.models.definitions.base import ContextLimit, Definition, LoadedModel, Progress
from llm_export.models.definitions.findings import built, placed, require_same_model
from llm_export.models.torchtune.architecture import Architecture, architecture

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.torchtune.model import TorchtuneModel


def check(recipe: Recipe) -> None:
    """Raises CheckpointError if torchtune cannot build the model option, MissingDependencyError
    if torchtune is not installed."""
    _architecture(recipe)
    if not torchtune_is_installed():
        raise missing_torchtune()


def context_limit(recipe: Recipe) -> ContextLimit | None:
    """torchtune's attention looks back as far as the context, also where the model's does not."""
    arch = _architecture(recipe)
    positions = recipe.model.config.get("max_position_embeddings")
    limits = []
    if isinstance(positions, int):
        limits.append(ContextLimit(positions, f"the model has {positions} positions"))
    if arch.softcap is None and arch.window is not None:
        why = (
            f"the model's attention looks back {arch.window} tokens, torchtune's {arch.family} "
            "further (model.definition=composable does as the model)"
        )
        limits.append(ContextLimit(arch.window, why))
    return min(limits, key=lambda limit: limit.tokens, default=None)


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
        CheckpointError: see ``fill_torchtune`` and ``open_checkpoint``.
        MissingDependencyError: torchtune is not installed.
    """
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.build import assert_materialized
    from llm_export.models.torchtune.model import build_on_meta
    from llm_export.models.torchtune.weights import fill_torchtune

    arch = _architecture(recipe)
    model = build_on_meta(arch, context_length, attention, all_logits)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(arch, checkpoint)
    coverage = fill_torchtune(model, checkpoint, progress)
    model.init_buffers()
    assert_materialized(model)
    return LoadedModel(model, checkpoint, coverage)


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and compare names and shapes with those of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
        MissingDependencyError: torchtune is not installed.
    """
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.torchtune.weights import require_fit

    model = outline(recipe)
    if not near:
        return built(model)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(model.arch, checkpoint)
    return placed(model, checkpoint, require_fit(model, checkpoint))


def outline(recipe: Recipe) -> TorchtuneModel:
    """The model on meta."""
    from llm_export.models.torchtune.model import build_on_meta

    context = filled(recipe.runtime.context_length)
    return build_on_meta(_architecture(recipe), context, "plain", False)


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    capped = _architecture(recipe).softcap is not None
    return ("plain", "cacheless") if capped else ("custom_op", "plain", "cacheless")


def _architecture(recipe: Recipe) -> Architecture:
    return architecture(recipe.model.family, recipe.model.config)


def _require_same_architecture(stated: Architecture, checkpoint: Checkpoint) -> None:
    """Compare the architectures of the checkpoint's own config and of the model option."""
    if checkpoint.naming != "hf":
        return
    raw = checkpoint.config()
    where = str(checkpoint.files[0])
    family = str(raw.get("model_type", stated.family))
    if family != stated.family:
        raise CheckpointError(
            f"the checkpoint is of another architecture: '{family}', not '{stated.family}'",
            where=where,
        )
    option, own = (_flat(arch) for arch in (stated, architecture(family, raw)))
    differing = [
        f"{key} is {own.get(key)} there and {option.get(key)} in the model option"
        for key in sorted(set(option) | set(own))
        if option.get(key) != own.get(key)
    ]
    require_same_model(differing, checkpoint)


def _flat(arch: Architecture) -> dict[str, object]:
    facts = asdict(arch)
    return {**facts.pop("arguments"), **{f"rope.{k}": v for k, v in facts.pop("rope").items()},
            **facts}  # fmt: skip


DEFINITION = Definition(
    name="torchtune",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    context_limit=context_limit,
    validate_checkpoint=validate_checkpoint,
    outline=outline,
    tier="torchtune's builder (family {family})",
)
