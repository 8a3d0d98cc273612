"""Stream a checkpoint into a decoder on meta, accounting for every name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families.facts import Family


@dataclass(frozen=True)
class Coverage:
    """What became of the checkpoint's tensors. Counts for the record; names where they matter."""

    used: int
    ignored: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    parameters: int = 0


@dataclass(frozen=True)
class Plan:
    """What would become of a checkpoint's tensors.

    Attributes:
        used: checkpoint name -> parameter name.
        ignored, unused: checkpoint names without a use by rule, and without a place.
        tied, missing: parameter names that another one serves, and that no tensor fills.
    """

    used: dict[str, str]
    ignored: list[str]
    tied: list[str]
    unused: list[str]
    missing: list[str]


def fill(
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
    plan = sort_names(wanted, family, config, checkpoint.naming, checkpoint.names())
    _require_complete(plan, family)
    restore = family.restore.get(checkpoint.naming)
    total, done, count = len(plan.used), 0, 0
    for name, tensor in checkpoint.tensors():
        target = plan.used.get(name)
        if target is None:
            continue
        if restore is not None:
            tensor = restore(target, tensor, config)
        expected = tuple(wanted[target].shape)
        if tuple(tensor.shape) != expected:
            raise CheckpointError(
                f"'{name}' has shape {tuple(tensor.shape)}; the model needs {expected}",
                where=f"parameter {target}",
                fix="is this checkpoint of the architecture that the model option describes?",
            )
        value = tensor.to(torch.float32).contiguous()
        if not _finite(value):
            raise CheckpointError(f"'{name}' holds values that are not finite (NaN or infinity)")
        _assign(model, target, value)
        done, count = done + 1, count + value.numel()
        progress(done, total)
    if config.tied_embeddings:
        model.head.weight = model.embed.weight  # type: ignore[union-attr]
    return Coverage(used=done, ignored=plan.ignored, tied=plan.tied, parameters=count)


def sort_names(
    wanted: Mapping[str, Any], family: Family, config: DecoderConfig, naming: str, names: list[str]
) -> Plan:
    """Sort a checkpoint's names by what becomes of them; reads nothing.

    Args:
        wanted: the decoder's parameters by name.

    Raises:
        CheckpointError: the family has no names for this kind of checkpoint.
    """
    keys = family.keys.get(naming)
    if keys is None and naming != "model":
        raise CheckpointError(f"family '{family.name}' has no names for {naming} checkpoints")
    used: dict[str, str] = {}
    ignored: list[str] = []
    unused: list[str] = []
    for name in names:
        target = name if keys is None else keys.to_model(name)
        if target == "head.weight" and config.tied_embeddings:
            ignored.append(name)
        elif target is not None and target in wanted:
            used[name] = target
        elif keys is not None and keys.ignores(name):
            ignored.append(name)
        else:
            unused.append(name)
    tied = ["head.weight"] if config.tied_embeddings else []
    missing = sorted(set(wanted) - set(used.values()) - set(tied))
    return Plan(used, ignored, tied, unused, missing)


def _require_complete(plan: Plan, family: Family) -> None:
    if plan.missing or plan.unused:
        raise CheckpointError(
            "; ".join(
                f"{len(group)} tensors {verb}: {_some(group)}"
                for group, verb in (
                    (plan.missing, "are missing"),
                    (plan.unused, "have no place in the model"),
                )
                if group
            ),
            where=f"coverage of family '{family.name}'",
            fix="check that model=... describes this checkpoint",
        )


def _finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite. ``isfinite`` would take copies of the whole tensor."""
    if not value.numel():
        return True
    return all(bool(torch.isfinite(bound)) for bound in torch.aminmax(value))


def _some(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _assign(model: nn.Module, name: str, value: Tensor) -> None:
    parent, _, leaf = name.rpartition(".")
    module = model.get_submodule(parent)
    setattr(module, leaf, nn.Parameter(value, requires_grad=False))
