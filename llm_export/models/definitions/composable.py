"""The composable decoder: a family's facts, our components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.definitions.base import Definition, LoadedModel, Progress
from llm_export.models.families import FAMILIES
from llm_export.models.families.facts import Family, native_facts

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

# Facts that a recipe may change on purpose without the checkpoint being another model.
_FREE = frozenset({"max_positions"})


def decoder_config(recipe: Recipe) -> tuple[Family, DecoderConfig]:
    """The family and the facts that the recipe's model option states."""
    family = FAMILIES.get(recipe.model.family)
    try:
        return family, family.from_hf(recipe.model.config)
    except (TypeError, ValueError) as error:
        raise CheckpointError(str(error), where="model.config") from None


def check(recipe: Recipe) -> None:
    """Raises RecipeError or CheckpointError if the family does not understand the option."""
    decoder_config(recipe)


def load(
    recipe: Recipe,
    *,
    attention: str,
    context_length: int,
    all_logits: bool,
    progress: Progress,
) -> LoadedModel:
    """Build on meta, check that the checkpoint is of this architecture, and stream it in.

    Raises:
        CheckpointError: see ``fill`` and ``open_checkpoint``.
    """
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.build import assert_materialized, build_on_meta
    from llm_export.models.fill import fill

    family, config = decoder_config(recipe)
    model = build_on_meta(config, context_length, attention, all_logits)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(family, recipe.model.config, checkpoint)
    coverage = fill(model, family, config, checkpoint, progress)
    model.init_buffers()
    assert_materialized(model)
    return LoadedModel(model, checkpoint, coverage)


def _require_same_architecture(
    family: Family, stated: Mapping[str, Any], checkpoint: Checkpoint
) -> None:
    """Compare what the checkpoint's own config amounts to with what the model option does."""
    if checkpoint.naming == "model":
        return
    where = str(checkpoint.files[0]) if checkpoint.files else ""
    option = asdict(family.from_hf(stated))
    own = asdict(family.from_hf(_own_facts(family, stated, checkpoint, where)))
    option |= {f"rope.{k}": v for k, v in option.pop("rope").items()}
    own |= {f"rope.{k}": v for k, v in own.pop("rope").items()}
    differing = [
        f"{key} is {own[key]} there and {option[key]} in the model option"
        for key in option
        if key not in _FREE and not _same(option[key], own[key])
    ]
    if differing:
        raise CheckpointError(
            "the checkpoint is of another architecture: " + "; ".join(differing[:4]),
            where=where,
            fix="choose the model option that describes it (llm-export ls models), or override "
            "model.config.KEY=VALUE",
        )


def _own_facts(
    family: Family, stated: Mapping[str, Any], checkpoint: Checkpoint, where: str
) -> dict[str, Any]:
    """A whole config.json: the checkpoint's facts, and the option's where its format has none."""
    raw = checkpoint.config()
    if checkpoint.naming == "hf":
        return dict(raw)
    architecture = raw.get("general.architecture", family.name)
    if architecture != family.name:
        raise CheckpointError(
            f"the checkpoint is of another architecture: '{architecture}', not '{family.name}'",
            where=where,
        )
    facts = native_facts(family, checkpoint.naming, raw, where)
    scaling, known = facts.get("rope_scaling"), stated.get("rope_scaling")
    if scaling == {"rope_type": "llama3"}:
        if not isinstance(known, Mapping) or known.get("rope_type") != "llama3":
            raise CheckpointError(
                "the checkpoint is of another architecture: it has llama3 RoPE scaling and the "
                "model option has not",
                where=where,
                fix="model.config.rope_scaling={rope_type: llama3, factor: ..., ...}",
            )
        facts["rope_scaling"] = known
    merged = {k: v for k, v in stated.items() if k != "rope_parameters"}
    return {**merged, **facts}


def _same(option: Any, own: Any) -> bool:
    if isinstance(option, dict) and isinstance(own, dict):
        return set(option) == set(own) and all(_same(option[k], own[k]) for k in option)
    if isinstance(option, float) and isinstance(own, float):
        # A config that went through float32 has seven digits left.
        return abs(option - own) <= 1e-6 * max(abs(option), abs(own))
    return bool(option == own)


def attention_kinds(recipe: Recipe) -> tuple[str, ...]:
    return ("custom_op", "plain", "cacheless")


DEFINITION = Definition(
    name="composable",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    tier="fast (family {family})",
    transforms=frozenset({"fuse_projections", "smooth"}),
)
