"""Mixtures of experts as one linear per expert and projection.

transformers stores the weights of all experts of a layer in one tensor of three dimensions, and
multiplies by it in ways that export cannot follow (data-dependent loops) or that no delegate
takes. With a linear for each expert, rules name and quantize them like any other, and a program
can compute the selected experts only.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.transformers_models import apply_gate, is_experts
from llm_export.memory import release
from llm_export.models.components.active_experts import Mixture, active_experts


class Expert(nn.Module):
    """The projections of one expert; ``up`` computes the gate too where there is one."""

    def __init__(self, up: nn.Linear, down: nn.Linear) -> None:
        super().__init__()
        self.up, self.down = up, down


class SeparateExperts(Mixture):
    """hidden_states [N, D], top_k_index and top_k_weights [N, K] -> [N, D].

    ``self.N`` is expert N. An index beyond the experts selects none.

    Args:
        library: a module as ``use_experts_implementation`` describes them, with its weights,
            which are taken from it.
    """

    def __init__(self, library: Any) -> None:
        super().__init__()
        first = "gate_up_proj" if library.has_gate else "up_proj"
        ups, downs = _linears(library, first), _linears(library, "down_proj")
        self.count = len(ups)
        for index, (up, down) in enumerate(zip(ups, downs, strict=True)):
            self.add_module(str(index), Expert(up, down))
        # What remains of it: the activation, and a norm where there is one.
        self.rest = library

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        weights = top_k_weights.to(hidden_states.dtype)
        compute = self._selected if self.active_only else self._all
        return compute(hidden_states, top_k_index, weights)

    def _selected(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        exists = (chosen < self.count).to(weights.dtype)
        experts = [partial(self._expert, index) for index in range(self.count)]
        return active_experts(x, chosen.clamp(max=self.count - 1), weights * exists, experts)

    def _all(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        numbers = torch.arange(self.count, device=chosen.device)
        selected = (chosen.unsqueeze(-1) == numbers).to(weights.dtype)  # [N, K, count]
        shares = (selected * weights.unsqueeze(-1)).sum(1)
        y = self._expert(0, x) * shares[:, :1]
        for index in range(1, self.count):
            y = y + self._expert(index, x) * shares[:, index : index + 1]
        return y

    def _expert(self, index: int, x: Tensor) -> Tensor:
        expert, rest = self.get_submodule(str(index)), self.rest
        assert isinstance(expert, Expert)
        y = expert.up(x)
        y = expert.down(apply_gate(rest, y) if rest.has_gate else rest.act_fn(y))
        return rest.post_expert_norm(y) if rest.has_post_expert_norm else y


def separate_experts(model: nn.Module) -> None:
    """Replace every experts module of the library."""
    found = [name for name, module in model.named_modules() if is_experts(module)]
    for name in found:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, SeparateExperts(model.get_submodule(name)))
        release()


def _linears(library: Any, name: str) -> list[nn.Linear]:
    """One linear per expert; the stored tensor is removed, and its parts are not copied unless
    they are stored transposed.
    """
    weights, biases = getattr(library, name).detach(), None
    if library.has_bias:
        biases = getattr(library, f"{name}_bias").detach()
        delattr(library, f"{name}_bias")
    delattr(library, name)
    made = []
    for index, stored in enumerate(weights):
        weight = stored.t().contiguous() if library.is_transposed else stored
        with torch.device("meta"):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=biases is not None)
        linear.weight = nn.Parameter(weight, requires_grad=False)
        if biases is not None:
            linear.bias = nn.Parameter(biases[index], requires_grad=False)
        made.append(linear)
    return made
