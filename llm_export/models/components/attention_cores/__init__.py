"""Attention kinds: how keys and values are kept, and how attention is computed over them.

A kind is a pair of modules. The *planner* runs once a forward pass: it says into which cache
slots the step's keys go, and which slots each token may see. The *core* runs in every layer:
q [B, S, H, E], k [B, S, K, E], v [B, S, K, E'], step, sinks [H] -> [B, S, H, E'].
"""

from llm_export.models.components.attention_cores.base import CoreFactory, CoreShape
from llm_export.models.components.attention_cores.custom_op import CustomOpCore
from llm_export.models.components.attention_cores.plain import CachelessCore, StaticCacheCore
from llm_export.models.components.attention_cores.planners import MaskPlanner, StartPlanner

KINDS = {
    "cacheless": (MaskPlanner, CachelessCore),
    "plain": (MaskPlanner, StaticCacheCore),
    "custom_op": (StartPlanner, CustomOpCore),
}

__all__ = ["KINDS", "CoreFactory", "CoreShape"]
