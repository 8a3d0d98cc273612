"""Attention kinds: how keys and values are stored, and how attention is computed over them.

A kind consists of a layout and two modules. The *layout* defines how many slots a layer's cache
has and which position each slot holds. The *planner* runs once per forward pass and determines the
slots for the step's keys and the slots that each token may attend to. The *core* runs in every
layer: q [B, S, H, E], k [B, S, K, E], v [B, S, K, E'], step, sinks [H] -> [B, S, H, E'].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from llm_export.models.components.attention_cores import layout as layouts
from llm_export.models.components.attention_cores.base import Core, CoreFactory, CoreShape
from llm_export.models.components.attention_cores.by_head import (
    CustomOpBFloat16Core,
    CustomOpByHeadCore,
)
from llm_export.models.components.attention_cores.custom_op import CustomOpCore
from llm_export.models.components.attention_cores.int8 import CustomOpInt8Core, PlainInt8Core
from llm_export.models.components.attention_cores.layout import CacheLimits, Layout, Ring
from llm_export.models.components.attention_cores.plain import (
    CacheCore,
    CachelessCore,
    RotatingCacheCore,
)
from llm_export.models.components.attention_cores.planners import (
    SinkPlanner,
    SlotPlanner,
    StartPlanner,
)
from llm_export.models.components.attention_cores.static_io import (
    StaticIOCore,
    StaticIOPlanner,
)


@dataclass(frozen=True)
class AttentionKind:
    """
    Attributes:
        operators: whether ExecuTorch's ``llama::`` operators are available to the program.
    """

    planner: Callable[[Mapping[int | None, Ring]], nn.Module]
    core: Callable[[CoreShape, Layout], Core]
    layout: Callable[[CacheLimits], Layout] = layouts.static
    operators: bool = False


KINDS = {
    "cacheless": AttentionKind(SlotPlanner, CachelessCore),
    "plain": AttentionKind(SlotPlanner, CacheCore),
    "ring": AttentionKind(SlotPlanner, CacheCore, layouts.ring),
    "attention_sink": AttentionKind(SinkPlanner, RotatingCacheCore, layouts.attention_sink),
    "static_io": AttentionKind(StaticIOPlanner, StaticIOCore),
    "custom_op": AttentionKind(StartPlanner, CustomOpCore, operators=True),
    "custom_op_by_head": AttentionKind(StartPlanner, CustomOpByHeadCore, operators=True),
    "custom_op_bfloat16": AttentionKind(StartPlanner, CustomOpBFloat16Core, operators=True),
    "custom_op_int8": AttentionKind(StartPlanner, CustomOpInt8Core, operators=True),
    "plain_int8": AttentionKind(SlotPlanner, PlainInt8Core),
}

__all__ = ["KINDS", "AttentionKind", "CacheLimits", "Core", "CoreFactory", "CoreShape", "Ring"]
