"""Stream a checkpoint into a task's model on meta, and account for every tensor name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError
from llm_export.memory import enable_for, memory_mapped
from llm_export.models.definitions.base import Progress
from llm_export.models.families.keymap import Shape
from llm_export.models.load_weights import Coverage, Plan, Target, cut, finite

if TYPE_CHECKING:
    from llm_export.models.programs.family import TaskFamily


def plan_tensors(
    wanted: Mapping[str, Shape], family: TaskFamily, naming: str, names: list[str]
) -> Plan:
    """The use of each checkpoint name: every parameter gets a tensor and every tensor is used.

    Args:
        wanted: parameter -> shape; tied ones once.

    Raises:
        CheckpointError: tensors are missing, or have no place in the model.
    """
    if naming not in ("hf", "model"):
        raise CheckpointError(
            f"family '{family.name}' has no names for {naming} checkpoints",
            fix="give the model's Hugging Face folder: checkpoint.path=FOLDER",
        )
    used: dict[str, Target] = {}
    ignored, unused = [], []
    for name in names:
        target = name if naming == "model" else family.keys.to_model(name)
        split = None if naming == "model" else family.keys.split(name, wanted)
        if target is not None and target in wanted:
            used[name] = Target((target,))
        elif split is not None:
            used[name] = Target(tuple(split[1]), split[0])
        elif naming == "model" or target is not None or family.keys.ignores(name):
            ignored.append(name)  # a second name of a tied parameter, or a buffer
        else:
            unused.append(name)
    filled = {target for place in used.values() for target in place.targets}
    missing = sorted(set(wanted) - filled)
    if missing or unused:
        stored = [family.keys.to_checkpoint(name) or name for name in missing]
        said = [
            f"{len(group)} tensors {verb}: {', '.join(group[:4])}{', ...' * (len(group) > 4)}"
            for group, verb in ((stored, "are missing"), (unused, "have no place in the model"))
            if group
        ]
        raise CheckpointError(
            "; ".join(said), where=f"coverage of family '{family.name}'",
            fix="check that model=... or config.json describes this checkpoint",
        )  # fmt: skip
    return Plan(used, ignored, [], unused, missing)


def load_tensors(
    model: nn.Module,
    family: TaskFamily,
    checkpoint: Checkpoint,
    progress: Progress = lambda done, total: None,
) -> Coverage:
    """Assign every tensor of ``checkpoint`` to its parameter, in float32, one at a time.

    Raises:
        CheckpointError: a name is unused or missing, a shape differs, or values are not finite.
    """
    shapes: dict[str, Shape] = {n: tuple(p.shape) for n, p in model.named_parameters()}
    plan = plan_tensors(shapes, family, checkpoint.naming, checkpoint.names())
    restore = family.restore if checkpoint.naming == "hf" else None
    enable_for(sum(p.numel() for p in model.parameters()) * torch.float32.itemsize)
    done = count = 0
    for name, tensor in checkpoint.tensors():
        place = plan.used.get(name)
        if place is None:
            continue
        for target, part in cut(name, tensor, place, shapes):
            if restore is not None:
                part = restore(target, part)
            if tuple(part.shape) != shapes[target]:
                raise CheckpointError(
                    f"'{name}' has shape {tuple(part.shape)}; the model needs {shapes[target]}",
                    where=f"parameter {target}",
                    fix="is this checkpoint of the architecture that config.json or model=... "
                    "describes?",
                )
            value = part.to(torch.float32).contiguous()
            if not finite(value):
                raise CheckpointError(
                    f"'{name}' holds values that are not finite (NaN or infinity)"
                )
            _assign(model, target, memory_mapped(value))
            count += value.numel()
        done += 1
        progress(done, len(plan.used))
    return Coverage(used=done, ignored=plan.ignored, parameters=count)


def _assign(model: nn.Module, name: str, value: torch.Tensor) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Parameter(value, requires_grad=False))
