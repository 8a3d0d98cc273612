"""The recurrent state of a mixer: a tensor of fixed shape that each step reads and replaces.

In eager mode and in most programs it is a mutable buffer, named ``*_cache`` like those of keys and
values. In a program that takes and returns its caches it is an input and an output
(``Step.caches``). A step at position 0 starts from zeros whatever the buffer holds, since runtimes
begin a text anew by setting the position back. A state holds only what follows from all tokens so
far, so it cannot be set back to an earlier position (``cache_metadata.Rewind``).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from llm_export.models.components.step import Step


class State(nn.Module):
    """Base class of modules with one state.

    Args:
        shape: [1, ...].
    """

    state_name: ClassVar[str]
    float32_buffers: ClassVar[tuple[str, ...]] = ()
    """Buffers that stay in float32 in a model of another dtype."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.state_shape = shape
        self.register_buffer(self.state_name, torch.empty(shape), persistent=False)

    def init_buffers(self) -> None:
        dtype = self._buffers[self.state_name].dtype  # type: ignore[union-attr]
        setattr(self, self.state_name, torch.zeros(self.state_shape, device="cpu", dtype=dtype))

    def dtype_in(self, dtype: torch.dtype) -> torch.dtype:
        """The state's dtype in a model that computes in ``dtype``."""
        return torch.float32 if self.state_name in self.float32_buffers else dtype

    def before(self, step: Step) -> Tensor:
        """The state before the step."""
        state = self.held(step)
        if step.follows is None:
            return state
        follows = (
            step.follows if step.follows.dtype == state.dtype else step.follows.to(state.dtype)
        )
        return state * follows

    def held(self, step: Step) -> Tensor:
        """What is held when the step begins, to be multiplied by ``step.follows``. A mixer whose
        state decays multiplies the decay instead, which is smaller."""
        if step.caches is not None:
            return next(step.caches.states)
        state: Tensor = getattr(self, self.state_name)
        return state

    def after(self, state: Tensor, step: Step) -> None:
        """Store the state after the step."""
        if step.caches is not None:
            step.caches.next_states.append(state)
        else:
            getattr(self, self.state_name).copy_(state)


class Mixer(nn.Module):
    """[B, S, D], step -> [B, S, D]. Submodules that are ``State``s are in order of use."""

    def readers(self) -> tuple[nn.Linear, ...]:
        """The linears that read the input: all that depends on it is behind them."""
        raise NotImplementedError

    def writers(self) -> tuple[nn.Linear, ...]:
        """The linears whose sum is the output."""
        raise NotImplementedError

    def prepare(self, *, operators: bool, longest: int) -> None:
        """
        Args:
            operators: whether ExecuTorch's ``llama::`` operators are available.
            longest: most tokens of a step.
        """
