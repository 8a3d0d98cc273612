"""The composable decoder: a family's config and our components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from llm_export.config.quant_schema import TiedKind
from llm_export.config.schema import Recipe, filled
from llm_export.errors import CheckpointError
from llm_export.models import rope_limits
from llm_export.models.config import DecoderConfig
from llm_export.models.definitions.base import ContextLimit, Definition, LoadedModel, Progress
from llm_export.models.definitions.findings import built, placed, require_same_model
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import Family, fill_unspecified, native_facts
from llm_export.models.families.gguf_metadata import families_of
from llm_export.models.rotation import rotation_refusals, stays_tied

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

# Config values that a recipe may change without making the checkpoint a different model.
_FREE = frozenset({"max_positions"})


def decoder_config(recipe: Recipe) -> tuple[Family, DecoderConfig]:
    """The family and the config of the recipe's model option."""
    family = FAMILIES.get(recipe.model.family)
    config = family.read(recipe.model.config)
    for rope in config.ropes:
        rope_limits.require_factor_per_pair(rope)
    return family, config


def context_limit(recipe: Recipe) -> ContextLimit:
    _, config = decoder_config(recipe)
    return rope_limits.context_limit(config.max_positions, config.ropes)


def remarks(recipe: Recipe, context_length: int) -> tuple[str, ...]:
    _, config = decoder_config(recipe)
    return rope_limits.remarks(config.max_positions, config.ropes, context_length)


def rope_factors(recipe: Recipe, context_length: int) -> str | None:
    _, config = decoder_config(recipe)
    found = (rope_limits.factors_for(rope, context_length) for rope in config.ropes)
    return next(filter(None, found), None)


def check(recipe: Recipe) -> None:
    """Raises RecipeError or CheckpointError if the family does not support the option."""
    decoder_config(recipe)


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
        CheckpointError: see ``load_weights`` and ``open_checkpoint``.
    """
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.build import assert_materialized, build_on_meta
    from llm_export.models.load_weights import load_weights

    family, config = decoder_config(recipe)
    # The reference has shorter caches than the program, and the program's frequencies.
    config = _for_context(config, recipe.runtime.context_length or context_length)
    model = build_on_meta(config, context_length, attention, all_logits)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(family, recipe.model.config, checkpoint)
    coverage = load_weights(model, family, config, checkpoint, progress)
    model.init_buffers()
    assert_materialized(model)
    return LoadedModel(model, checkpoint, coverage)


def validate_checkpoint(recipe: Recipe, near: bool) -> str:
    """Build on meta, and compare names and shapes with those of a local checkpoint.

    Raises:
        CheckpointError: it does not fit, or its headers show that it is damaged.
    """
    from llm_export.models.build import build_on_meta

    family, config = decoder_config(recipe)
    model = build_on_meta(config, filled(recipe.runtime.context_length), "plain", False)
    if not near:
        return built(model)
    from llm_export.checkpoints.base import describe_tensors
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.models.load_weights import plan_names, require_shapes

    shapes = {n: tuple(p.shape) for n, p in model.named_parameters(remove_duplicate=False)}
    checkpoint = open_checkpoint(recipe.checkpoint, shapes)
    _require_same_architecture(family, recipe.model.config, checkpoint)
    infos = describe_tensors(checkpoint)
    plan = plan_names(shapes, family, config, checkpoint.naming, list(infos))
    require_shapes(plan, {name: info.shape for name, info in infos.items()}, shapes)
    return placed(model, checkpoint, len(plan.used))


def _for_context(config: DecoderConfig, context_length: int) -> DecoderConfig:
    from llm_export.models.components.rope_scaling import for_context

    return replace(config, ropes=tuple(for_context(r, context_length) for r in config.ropes))


def _require_same_architecture(
    family: Family, stated: Mapping[str, Any], checkpoint: Checkpoint
) -> None:
    """Compare the decoder configs of the checkpoint's own config and of the model option."""
    if checkpoint.naming == "model":
        return
    where = str(checkpoint.files[0]) if checkpoint.files else ""
    option = asdict(family.read(stated))
    own = asdict(family.read(_own_facts(family, stated, checkpoint, where), where))
    for key in _FREE:
        own[key] = option[key]
    differing = [
        f"{key} is {there} there and {here} in the model option"
        for key, here, there in differences("", option, own)
    ]
    require_same_model(differing, checkpoint)


def _own_facts(
    family: Family, stated: Mapping[str, Any], checkpoint: Checkpoint, where: str
) -> dict[str, object]:
    """A complete config.json: the checkpoint's values, and the option's where its format has
    none.
    """
    raw = checkpoint.config()
    if checkpoint.naming == "hf":
        return dict(raw)
    if checkpoint.naming == "gguf" and family.name not in families_of(raw, where):
        architecture = raw["general.architecture"]
        raise CheckpointError(
            f"the checkpoint is of another architecture: '{architecture}', not '{family.name}'",
            where=where,
            fix=f"its family is {' or '.join(families_of(raw, where))}",
        )
    facts = fill_unspecified(native_facts(family, checkpoint.naming, raw, where), stated, where)
    merged = {k: v for k, v in stated.items() if k != "rope_parameters"}
    return {**merged, **facts}


def differences(path: str, option: Any, own: Any) -> Iterator[tuple[str, Any, Any]]:
    """(path, value in the option, value in the checkpoint) for each leaf of two configs that
    differs.
    """
    if isinstance(option, dict) and isinstance(own, dict):
        for key in {**option, **own}:
            yield from differences(f"{path}.{key}", option.get(key), own.get(key))
    elif isinstance(option, tuple | list) and isinstance(own, tuple | list):
        if len(option) != len(own):
            yield f"number of {path.strip('.')}", len(option), len(own)
            return
        for index, (here, there) in enumerate(zip(option, own, strict=True)):
            yield from differences(f"{path}.{index}", here, there)
    elif isinstance(option, float) and isinstance(own, float):
        # A config stored as float32 has seven significant digits.
        if abs(option - own) > 1e-6 * max(abs(option), abs(own)):
            yield path.strip("."), option, own
    elif option != own:
        yield path.strip("."), option, own


def attention_kinds(recipe: Recipe, prefill_length: int) -> tuple[str, ...]:
    """The fused operators support neither soft caps nor sinks nor latent attention. Latent
    attention has no int8 cache either. A ring buffer needs a window shorter than the context. Keys
    that are normed after RoPE cannot be cached before it, as with attention sinks. A recurrent
    state has no sinks: it forgets on its own.
    """
    _, config = decoder_config(recipe)
    layers = config.attentions
    if not layers:
        return ("plain", "cacheless", "static_io")
    plain = any(a.softcap is not None or a.sinks or a.latent is not None for a in layers)
    fused = () if plain else ("custom_op_by_head", "custom_op", "custom_op_bfloat16")
    int8 = () if any(a.latent is not None for a in layers) else ("plain_int8",)
    int8 = int8 if plain else ("custom_op_int8", *int8)
    room = filled(recipe.runtime.context_length) - prefill_length + 1
    shrinks = any(a.window is not None and a.window < room for a in layers)
    ring = ("ring",) if shrinks else ()
    sinkless = bool(config.mixers) or any(a.qk_norm_after_rope for a in layers)
    sinks = () if sinkless else ("attention_sink",)
    return (*fused, "plain", "cacheless", "static_io", *sinks, *ring, *int8)


def is_tied(recipe: Recipe) -> bool:
    """Whether embedding and output matrix are one weight, also after rotations."""
    asked, untied = recipe.quant.rotate, recipe.quant.tied is TiedKind.untied
    r1 = asked is not None and bool(asked.r1)
    return stays_tied(decoder_config(recipe)[1], r1=r1, untied=untied)


def _rotation_refusals(recipe: Recipe) -> dict[str, str]:
    asked = recipe.quant.rotate
    if asked is None:
        return {}
    config = decoder_config(recipe)[1]
    return rotation_refusals(config, r1=bool(asked.r1), r4=asked.r4)


DEFINITION = Definition(
    name="composable",
    check=check,
    load=load,
    attention_kinds=attention_kinds,
    tier="fast (family {family})",
    transforms=frozenset({"fuse_projections", "smooth", "awq", "rotate", "lora", "cast"}),
    caches=frozenset({"static", "ring", "attention_sink", "int8"}),
    validate_checkpoint=validate_checkpoint,
    context_limit=context_limit,
    recurrent=lambda recipe: bool(decoder_config(recipe)[1].mixers),
    head_rows=lambda recipe: decoder_config(recipe)[1].vocab_size,
    tied=is_tied,
    usual_step=lambda recipe: decoder_config(recipe)[1].usual_step,
    rope_factors=rope_factors,
    remarks=remarks,
    rotation_refusals=_rotation_refusals,
)
