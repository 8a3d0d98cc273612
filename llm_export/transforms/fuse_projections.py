"""Fuse q, k and v into one linear, and gate and up into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from llm_export.errors import PostConditionError
from llm_export.memory import memory_mapped, release
from llm_export.models.components.attention import FusedQKV, SeparateQKV
from llm_export.models.components.feed_forward import FusedGateUp, SeparateGateUp
from llm_export.transforms.base import Transform


def steps(model: nn.Module) -> Sequence[Transform]:
    """The transform, if the model has projections to fuse: a model of state space mixers alone has
    none.
    """
    return [TRANSFORM] if any(_separate(model)) else []


def apply(model: nn.Module) -> int:
    """Replace each pair or triple of projections; the separate weights are released."""
    changed = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SeparateQKV):
                parts = [child.q, child.k, child.v]
                fused: nn.Module = FusedQKV(_stack(parts), [p.out_features for p in parts])
            elif isinstance(child, SeparateGateUp):
                fused = FusedGateUp(_stack([child.gate, child.up]), child.gate.out_features)
            else:
                continue
            setattr(parent, name, fused)
            changed += 1
    return changed


def check(model: nn.Module) -> None:
    left = list(_separate(model))
    if left:
        raise PostConditionError(f"projections are still separate: {', '.join(left[:4])}")


def _separate(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, SeparateQKV | SeparateGateUp):
            yield name


def _stack(parts: list[nn.Linear]) -> nn.Linear:
    """Linears with the same input -> one linear with concatenated outputs."""
    with torch.device("meta"):
        fused = nn.Linear(
            parts[0].in_features, sum(p.out_features for p in parts), parts[0].bias is not None
        )
    weight = memory_mapped(torch.cat([p.weight for p in parts]))
    fused.weight = nn.Parameter(weight, requires_grad=False)
    release()
    if parts[0].bias is not None:
        fused.bias = nn.Parameter(torch.cat([p.bias for p in parts]), requires_grad=False)
    return fused


TRANSFORM = Transform("fuse_projections", apply, check)
