"""Stream a checkpoint into a decoder on meta, and account for every tensor name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError
from llm_export.memory import enable_for, memory_mapped
from llm_export.models.config import DecoderConfig
from llm_export.models.families.config_values import Family
from llm_export.models.families.keymap import Shape, Split


@dataclass(frozen=True)
class Coverage:
    """How the checkpoint's tensors were used: counts for the record, and names where they
    matter.
    """

    used: int
    ignored: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    parameters: int = 0


def load_weights(
    model: nn.Module,
    family: Family,
    config: DecoderConfig,
    checkpoint: Checkpoint,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Coverage:
    """Assign every tensor of ``checkpoint`` to its parameter, in float32, one at a time.

    Raises:
        CheckpointError: a name is unused or missing, a shape differs, or values are not finite.
    """
    wanted = dict(model.named_parameters(remove_duplicate=False))
    shapes = {name: tuple(parameter.shape) for name, parameter in wanted.items()}
    plan = plan_names(shapes, family, config, checkpoint.naming, checkpoint.names())
    restore, arrange = (each.get(checkpoint.naming) for each in (family.restore, family.arrange))
    enable_for(sum(p.numel() for p in model.parameters()) * torch.float32.itemsize)
    total, done, count = len(plan.used), 0, 0
    for name, tensor in checkpoint.tensors():
        place = plan.used.get(name)
        if place is None:
            continue
        tensor = tensor if arrange is None else arrange(name, tensor, config)
        for target, part in cut(name, tensor, place, shapes):
            if restore is not None:
                part = restore(target, part, config)
            if tuple(part.shape) != shapes[target]:
                raise _misfit(name, part.shape, target, shapes)
            value = part.to(torch.float32).contiguous()
            if not finite(value):
                raise CheckpointError(
                    f"'{name}' holds values that are not finite (NaN or infinity)"
                )
            _assign(model, target, memory_mapped(value))
            count += value.numel()
        done += 1
        progress(done, total)
    if config.tied_embeddings:
        model.head.weight = model.embed.weight  # type: ignore[union-attr]
    return Coverage(used=done, ignored=plan.ignored, tied=plan.tied, parameters=count)


@dataclass(frozen=True)
class Target:
    """The target of a checkpoint tensor: one parameter, or several after splitting."""

    targets: tuple[str, ...]
    split: Split | None = None


@dataclass(frozen=True)
class Plan:
    """The use of each checkpoint name, and the parameters without a tensor."""

    used: dict[str, Target]
    ignored: list[str]
    tied: list[str]
    unused: list[str]
    missing: list[str]


_EMBED, _HEAD = "embed.weight", "head.weight"


def match_names(
    wanted: Mapping[str, Any], family: Family, config: DecoderConfig, naming: str, names: list[str]
) -> Plan:
    """Classify a checkpoint's names by their use.

    Args:
        wanted: the decoder's parameters by name.

    Raises:
        CheckpointError: the family has no names for this checkpoint format.
    """
    keys = family.keys.get(naming)
    if keys is None and naming != "model":
        raise CheckpointError(f"family '{family.name}' has no names for {naming} checkpoints")
    used: dict[str, Target] = {}
    ignored: list[str] = []
    unused: list[str] = []
    targets = {name: name if keys is None else keys.to_model(name) for name in names}
    # A file may hold one matrix for both, under the name of either.
    swapped = config.tied_embeddings and _EMBED not in targets.values()
    for name, target in targets.items():
        cut = None if keys is None else keys.split(name, wanted)
        if target == _HEAD and swapped:
            used[name] = Target((_EMBED,))
        elif target == _HEAD and config.tied_embeddings:
            ignored.append(name)
        elif target is not None and target in wanted:
            used[name] = Target((target,))
        elif cut is not None:
            used[name] = Target(tuple(cut[1]), cut[0])
        elif keys is not None and (keys.ignores(name) or family.ignored(name, config)):
            ignored.append(name)
        else:
            unused.append(name)
    tied = [_HEAD] if config.tied_embeddings else []
    filled = {target for place in used.values() for target in place.targets}
    return Plan(used, ignored, tied, unused, sorted(set(wanted) - filled - set(tied)))


def plan_names(
    wanted: Mapping[str, Any], family: Family, config: DecoderConfig, naming: str, names: list[str]
) -> Plan:
    """Like ``match_names``, but every parameter must get a tensor and every tensor must be used.

    Raises:
        CheckpointError: tensors are missing, or have no place in the model.
    """
    plan = match_names(wanted, family, config, naming, names)
    if plan.missing or plan.unused:
        keys = family.keys.get(naming)
        stored = [(None if keys is None else keys.to_checkpoint(n)) or n for n in plan.missing]
        untied = plan.missing == [_HEAD] and naming == "hf"
        raise CheckpointError(
            "; ".join(
                f"{len(group)} tensors {verb}: {_some(group)}"
                for group, verb in (
                    (stored, "are missing"),
                    (plan.unused, "have no place in the model"),
                )
                if group
            ),
            where=f"coverage of family '{family.name}'",
            fix="tie_word_embeddings is false: set it to true if the model has one matrix for both"
            if untied
            else "check that model=... or config.json describes this checkpoint",
        )
    return plan


def require_shapes(plan: Plan, given: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> None:
    """Compare shapes of whole tensors with those of their parameters. Tensors that are split are
    checked when they are read.

    Args:
        given: name in the checkpoint -> shape.
        wanted: name in the model -> shape.

    Raises:
        CheckpointError: one differs.
    """
    for name, place in plan.used.items():
        target = place.targets[0]
        if place.split is None and tuple(given[name]) != tuple(wanted[target]):
            raise _misfit(name, given[name], target, wanted)


def cut(
    name: str, tensor: Tensor, place: Target, shapes: Mapping[str, Shape]
) -> Iterator[tuple[str, Tensor]]:
    """Split a checkpoint tensor into its parameters.

    Raises:
        CheckpointError: its shape does not match the sum of theirs.
    """
    if place.split is None:
        yield place.targets[0], tensor
        return
    try:
        parts = place.split.cut(tensor, [shapes[target] for target in place.targets])
        yield from zip(place.targets, parts, strict=True)
    except (RuntimeError, ValueError):  # sizes do not match
        raise _misfit(name, tensor.shape, place.targets[0], shapes) from None


def _misfit(name: str, shape: Shape, target: str, shapes: Mapping[str, Shape]) -> CheckpointError:
    return CheckpointError(
        f"'{name}' has shape {tuple(shape)}; the model needs {shapes[target]}",
        where=f"parameter {target}",
        fix="is this checkpoint of the architecture that config.json or model=... describes?",
    )


def finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite. ``isfinite`` would copy the whole tensor several
    times.
    """
    if not value.numel():
        return True
    return all(bool(torch.isfinite(bound)) for bound in torch.aminmax(value))


def _some(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _assign(model: nn.Module, name: str, value: Tensor) -> None:
    parent, _, leaf = name.rpartition(".")
    module = model.get_submodule(parent)
    setattr(module, leaf, nn.Parameter(value, requires_grad=False))
