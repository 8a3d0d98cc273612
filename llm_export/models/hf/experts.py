"""Mixture of experts without data-dependent shapes.

transformers gathers tokens by expert (data-dependent shapes) or weights by token (memory grows
with the prompt). Here every expert processes every token, and unselected experts get weight zero:
two batched products, whatever the routing. The arithmetic is (experts / selected) times as much.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm_export.compat.transformers_models import apply_gate, register_experts

NAME = "llm_export_dense"


def dense(self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """hidden_states [N, D], top_k_index and top_k_weights [N, k] -> [N, D].

    ``self`` is an experts module as ``use_experts_implementation`` describes them.
    """
    first = "gate_up_proj" if self.has_gate else "up_proj"
    count = getattr(self, first).shape[0]
    x = hidden_states.unsqueeze(0).expand(count, -1, -1)
    y = _product(self, x, first)
    y = apply_gate(self, y) if self.has_gate else self.act_fn(y)
    y = _product(self, y, "down_proj")
    if self.has_post_expert_norm:
        y = self.post_expert_norm(y)
    experts = torch.arange(count, device=top_k_index.device)
    chosen = top_k_index.unsqueeze(-1) == experts  # [N, k, count]
    weights = (chosen.to(y.dtype) * top_k_weights.to(y.dtype).unsqueeze(-1)).sum(1)
    return (y * weights.t().unsqueeze(-1)).sum(0).to(hidden_states.dtype)


def _product(self: Any, x: Tensor, name: str) -> Tensor:
    """x [X, N, in] times each expert's weight -> [X, N, out]."""
    weight = getattr(self, name)
    y = torch.bmm(x, weight if self.is_transposed else weight.transpose(1, 2))
    return y + getattr(self, f"{name}_bias").unsqueeze(1) if self.has_bias else y


register_experts(NAME, dense)
