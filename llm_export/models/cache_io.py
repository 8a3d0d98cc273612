"""Export form of a decoder whose KV caches are inputs and outputs of the program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from llm_export.compat.module_state import own_buffers
from llm_export.models.cache_metadata import CacheInputs, CacheShapes, StateShape
from llm_export.models.components.attention_cores.planners import HIDDEN
from llm_export.models.components.attention_cores.static_io import StaticIOCore
from llm_export.models.components.mixers.state import State
from llm_export.models.components.step import CacheTensors, Plan, Planned
from llm_export.models.contract import ProgramForm


class CachingModel(Protocol):
    """The methods of a decoder that this export form needs."""

    context_length: int

    @property
    def norm(self) -> nn.Module: ...

    @property
    def rings(self) -> Mapping[int | None, object]:
        """Ring layouts by attention window; layers with the same window share one."""

    def modules(self) -> Iterator[nn.Module]: ...

    def run(self, tokens: Tensor, planned: Planned, caches: CacheTensors) -> Tensor: ...


class CachesAsInputs(nn.Module):
    """tokens [1, S], input_pos [1], masks, caches, states -> (logits, new keys and values, states).

    ``masks``: one per distinct window, additive, [S, T + S]. They are inputs instead of being
    computed from ``input_pos``, because that needs integer comparisons, which NPU backends do not
    delegate, or float comparisons, which are wrong past 2048 in half precision.

    ``caches``: for each layer the keys, then the values if stored separately, [1, K, T, E]. New
    entries are returned in the same order, [1, K, S, E].

    ``states``: recurrent states, in order of use; returned as they are after the step.

    Whatever follows is the business of ``run``.
    """

    def __init__(self, model: CachingModel) -> None:
        super().__init__()
        self.model = model
        self.windows = tuple(model.rings)
        self.caches = sum(len(core.cache_shapes) for core in cores(model))
        self.states = len(states(model))

    def forward(self, tokens: Tensor, input_pos: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        count = len(self.windows)
        positions = input_pos + torch.arange(tokens.shape[1], device=tokens.device)
        if tokens.shape[1] > 1:
            # A padded step may extend past the end of the RoPE tables.
            positions = positions.clamp(max=self.model.context_length - 1)
        masks = zip(self.windows, rest[:count], strict=True)
        planned = Planned({w: Plan(positions, mask) for w, mask in masks}, positions)
        states = count + self.caches
        end = states + self.states
        caches = CacheTensors(iter(rest[count:states]), [], iter(rest[states:end]), [])
        logits = self.run(tokens, planned, caches, rest[end:])
        return (logits, *caches.made, *caches.next_states)

    def run(
        self, tokens: Tensor, planned: Planned, caches: CacheTensors, further: Sequence[Tensor]
    ) -> Tensor:
        return self.model.run(tokens, planned, caches)


def cores(model: CachingModel) -> list[StaticIOCore]:
    return [m for m in model.modules() if isinstance(m, StaticIOCore)]


def states(model: CachingModel) -> list[State]:
    """The recurrent states, in order of use."""
    return [m for m in model.modules() if isinstance(m, State)]


def example_inputs(
    model: CachingModel, tokens: int, first: Tensor | None = None
) -> tuple[Tensor, ...]:
    """
    Args:
        first: the first input, if it is not the tokens.
    """
    total = model.context_length + tokens
    masks = [torch.zeros(tokens, total) for _ in model.rings]
    dtype = cache_dtype(model)
    caches = [
        torch.zeros(size, dtype=dtype)
        for core in cores(model)
        for size in core.cache_shapes.values()
    ]
    carried = [torch.zeros(s.state_shape, dtype=s.dtype_in(dtype)) for s in states(model)]
    start = torch.zeros(1, dtype=torch.int64)
    first = torch.zeros(1, tokens, dtype=torch.int64) if first is None else first
    return (first, start, *masks, *caches, *carried)


def cache_inputs(model: CachingModel) -> CacheInputs:
    """Masks and caches in the program's input order, for the runtime."""
    shapes = [core.cache_shapes for core in cores(model)]
    layers = tuple(CacheShapes(each["k_cache"], each.get("v_cache")) for each in shapes)
    dtype = cache_dtype(model)
    name = None if dtype == torch.float32 else _name(dtype)
    carried = tuple(StateShape(s.state_shape, _name(s.dtype_in(dtype))) for s in states(model))
    return CacheInputs(tuple(model.rings), HIDDEN, layers, name, carried or None)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def cache_dtype(model: CachingModel) -> torch.dtype:
    """The dtype that the model computes in: that of its last norm, which is never quantized."""
    return next(model.norm.parameters()).dtype


@contextmanager
def program_form(
    model: CachingModel,
    tokens: int,
    first: Tensor | None = None,
    further: Sequence[Tensor] = (),
    form: type[CachesAsInputs] = CachesAsInputs,
) -> Iterator[ProgramForm]:
    """See ``LanguageModel.as_program``. The eager caches are removed meanwhile, because the
    program must not contain them.

    Args:
        first: the first input, if it is not the tokens.
        further: inputs behind the states, which ``form`` knows.
    """
    owners: Sequence[nn.Module] = [*cores(model), *states(model)]
    taken = [(owner, dict(own_buffers(owner))) for owner in owners]
    for owner, _ in taken:
        own_buffers(owner).clear()
    try:
        inputs = (*example_inputs(model, tokens, first), *further)
        yield ProgramForm(form(model), inputs)
    finally:
        for owner, buffers in taken:
            own_buffers(owner).update(buffers)
