"""From a recipe to an eager decoder with its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError
from llm_export.models.build import assert_materialized, build_on_meta, init_buffers
from llm_export.models.config import DecoderConfig
from llm_export.models.decoder import Decoder
from llm_export.models.families import FAMILIES
from llm_export.models.families.facts import Family
from llm_export.models.fill import Coverage, fill

Progress = Callable[[int, int], None]

# Facts that a recipe may change on purpose without the checkpoint being another model.
_FREE = frozenset({"max_position_embeddings"})


@dataclass(frozen=True)
class LoadedModel:
    model: Decoder
    family: Family
    config: DecoderConfig
    checkpoint: Checkpoint
    coverage: Coverage


def decoder_config(recipe: Recipe) -> tuple[Family, DecoderConfig]:
    """The family and the facts that the recipe's model option states."""
    family = FAMILIES.get(recipe.model.family)
    try:
        return family, family.from_hf(recipe.model.config)
    except (TypeError, ValueError) as error:
        raise CheckpointError(str(error), where="model.config") from None


def load_model(
    recipe: Recipe,
    *,
    attention: str,
    context_length: int,
    all_logits: bool,
    progress: Progress = lambda done, total: None,
) -> LoadedModel:
    """Build on meta, check that the checkpoint is of this architecture, and stream it in.

    Raises:
        CheckpointError: see ``fill`` and ``open_checkpoint``.
    """
    family, config = decoder_config(recipe)
    model = build_on_meta(config, context_length, attention, all_logits)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(family, recipe.model.config, checkpoint)
    coverage = fill(model, family, config, checkpoint, progress)
    init_buffers(model)
    assert_materialized(model)
    return LoadedModel(model, family, config, checkpoint, coverage)


def _require_same_architecture(
    family: Family, stated: Mapping[str, Any], checkpoint: Checkpoint
) -> None:
    """Compare the checkpoint's own config with the model option, fact by fact."""
    if checkpoint.naming == "model":
        return
    raw = checkpoint.config()
    where = str(checkpoint.files[0]) if checkpoint.files else ""
    own = _facts(family, checkpoint.naming, raw, where)
    differing = []
    for key, value in own.items():
        if key not in stated or key in _FREE:
            continue
        if not _same(stated[key], value):
            differing.append(f"{key} is {value} there and {stated[key]} in the model option")
    if differing:
        raise CheckpointError(
            "the checkpoint is of another architecture: " + "; ".join(differing[:4]),
            where=where,
            fix="choose the model option that describes it (llm-export ls models), or override "
            "model.config.KEY=VALUE",
        )


def _facts(family: Family, naming: str, raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    if naming == "hf":
        # Unknown keys raise here, whether or not the model option has them.
        config = family.from_hf(raw)
        facts = {k: v for k, v in raw.items() if k not in ("rope_parameters", "rope_scaling")}
        facts["rope_theta"] = config.rope.theta
        facts["tie_word_embeddings"] = config.tied_embeddings
        facts["rope_scaling"] = (
            {"rope_type": config.rope.scaling, **config.rope.scaling_args}
            if config.rope.scaling != "none"
            else None
        )
        return facts
    architecture = raw.get("general.architecture", family.name)
    if architecture != family.name:
        raise CheckpointError(
            f"the checkpoint is of another architecture: '{architecture}', not '{family.name}'",
            where=where,
        )
    try:
        return family.config_from[naming](raw)
    except KeyError as error:
        raise CheckpointError(f"the checkpoint's config lacks {error}", where=where) from None


def _same(stated: Any, own: Any) -> bool:
    if isinstance(stated, Mapping) and isinstance(own, Mapping):
        return all(key in stated and _same(stated[key], value) for key, value in own.items())
    if isinstance(stated, float) or isinstance(own, float):
        both = isinstance(stated, int | float) and isinstance(own, int | float)
        return both and abs(stated - own) <= 1e-5 * max(abs(stated), abs(own))
    return bool(stated == own)
