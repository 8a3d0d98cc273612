"""Recurrent states of transformers models as buffers.

A state is all that a layer keeps of the text before: the last columns of a causal convolution, or
the matrix of a linear attention or state space. Its size does not depend on the context, and it
cannot go back: a text begins with an empty state at position 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import LinearAttentionCacheLayerMixin


@dataclass
class StateShapes:
    """Shapes of a layer's states by their index, as the library numbers them.

    Attributes:
        conv: [1, C, L], L columns of a convolution's input.
        recurrent: [1, ...].
    """

    conv: dict[int, tuple[int, ...]] = field(default_factory=dict)
    recurrent: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.conv or self.recurrent)


class StateSlots(nn.Module):
    """The states of one layer, float32, with the shapes of ``StateShapes``."""

    def __init__(self, shapes: StateShapes) -> None:
        super().__init__()
        self.shapes = shapes
        self.init_buffers()

    def init_buffers(self) -> None:
        for kind, shapes in (("conv", self.shapes.conv), ("recurrent", self.shapes.recurrent)):
            for index, shape in shapes.items():
                name = f"{kind}_{index}_cache"
                self.register_buffer(name, torch.zeros(shape), persistent=False)

    def begin(self, fresh: Tensor) -> None:
        """Empty the states where ``fresh`` [1] is true: a text begins. ``where`` also removes what
        is not finite, as memory may be before it is written.
        """
        for state in self.buffers(recurse=False):
            state.copy_(torch.where(fresh, torch.zeros_like(state), state))

    def states(self, kind: str) -> Mapping[int, Tensor]:
        shapes = getattr(self.shapes, kind)
        return {index: self.get_buffer(f"{kind}_{index}_cache") for index in shapes}


class StateLayer(LinearAttentionCacheLayerMixin):
    """The states of a layer during one step: read from and written to its buffers.

    The library has a form of each convolution for one token and one for several. The latter is
    right for every number of tokens; it takes it where ``record_past`` is set.
    """

    def __init__(self, slots: StateSlots) -> None:
        shapes = slots.shapes
        super().__init__(number_of_states=1 + max((*shapes.conv, *shapes.recurrent)))
        self.conv_states.update(slots.states("conv"))
        self.recurrent_states.update(slots.states("recurrent"))
        self.has_previous_state = dict.fromkeys(self.has_previous_state, True)
        self.record_past = True

    def lazy_initialization(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the buffers exist already."""

    def update_conv_state(
        self, conv_states: Tensor, state_idx: int = 0, *args: Any, **kwargs: Any
    ) -> Tensor:
        """conv_states [1, C, S] -> [1, C, L + S], with the columns before."""
        held = self.conv_states[state_idx]
        assert held is not None
        known = torch.cat([held, conv_states.to(held.dtype)], dim=-1)
        held.copy_(known[..., -held.shape[-1] :])
        return known

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, *args: Any, **kwargs: Any
    ) -> Tensor:
        held = self.recurrent_states[state_idx]
        assert held is not None
        return held.copy_(recurrent_states)
