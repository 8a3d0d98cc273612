"""Linears that a model's code does not call: it multiplies by their weight itself.

Mamba does so with the projection of its time step. Such a weight cannot be replaced by a quantized
one, and is no linear for what follows.
"""

from __future__ import annotations

import contextlib
from typing import Any

from torch import nn

from llm_export.models.hf.probe import run_step


class DirectWeight(nn.Module):
    """Weight and bias of a linear, which keep their names."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias


def hold_direct_weights(model: Any) -> None:
    """Replace linears that a step of their own module does not call. Modules that the step leaves
    out, such as experts that no token chooses, are kept.
    """
    called: set[int] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: called.add(id(module)))
        for module in model.modules()
    ]
    try:
        # A model whose step fails is refused elsewhere, with its reason.
        with contextlib.suppress(Exception):
            run_step(model)
    finally:
        for hook in hooks:
            hook.remove()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            own = isinstance(child, nn.Linear) and id(child) not in called
            if own and id(parent) in called:
                setattr(parent, name, DirectWeight(child))
