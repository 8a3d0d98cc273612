"""torch's ``scan`` operator, which has no public name. Written for torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = Callable[[Tensor, Any], tuple[Tensor, Tensor]]


def scan(step: Step, state: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Apply ``step(state, inputs of a position) -> (state, output)`` to each position in order.

    In a graph this is one operator with a body, whatever the number of positions; a single position
    needs none. Eager code runs a loop.

    Args:
        inputs: each [S, ...].

    Returns:
        The last state, and the outputs [S, ...].
    """
    if torch.compiler.is_exporting() and inputs[0].shape[0] != 1:
        from torch._higher_order_ops.scan import scan as operator

        return operator(step, state, inputs)
    outputs = []
    for position in range(inputs[0].shape[0]):
        state, output = step(state, tuple(each[position] for each in inputs))
        outputs.append(output)
    return state, torch.stack(outputs)
