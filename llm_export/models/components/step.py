"""Information about the current step for all layers, computed once per forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

Rotation = tuple[Tensor, Tensor]


class Plan(NamedTuple):
    """How the step uses the caches of all layers with the same window.

    Attributes:
        slots: [S] int64, the cache slots that the step's keys and values are written to.
        mask: additive, [S, T], or None if the core applies the mask itself. Less than -1e4 where a
            token does not attend, any bias above it elsewhere; no token of a step sees further
            back than the first, so that backends may leave out the keys before.
    """

    slots: Tensor
    mask: Tensor | None


Plans = dict[int | None, Plan]


class Planned(NamedTuple):
    """The result of a planner.

    Attributes:
        plans: window -> Plan.
        rotary: [S] int64, the positions by which the step's queries and keys are rotated.
        cached_rotary: [T] int64, the same for the keys of a cache that holds them unrotated.
        start: the first position as an integer, for operators that need one.
    """

    plans: Plans
    rotary: Tensor
    cached_rotary: Tensor | None = None
    start: int | None = None


class CacheTensors(NamedTuple):
    """KV caches of a program that takes and returns them, in layer order; for each layer the keys,
    then the values.

    Attributes:
        given: [1, K, T, E], consumed by the cores in layer order.
        made: the step's new entries, [1, K, S, E], appended by the cores in layer order.
        states: recurrent states, consumed by the mixers in layer order; each mixer's in the order
            of its modules.
        next_states: the states after the step, appended in the same order.
    """

    given: Iterator[Tensor]
    made: list[Tensor]
    states: Iterator[Tensor]
    next_states: list[Tensor]


class Lent(NamedTuple):
    """What a layer lends to later ones: its attention core, and its keys and values in whatever
    form that core's ``attend`` takes them.
    """

    core: Any
    kept: tuple[Tensor, ...]


class Step(NamedTuple):
    """The current step.

    Attributes:
        plans: window -> Plan.
        rotations: (cos, sin) for each RoPE of the model, [1, S, 1, dim].
        cached_rotations: the same per cache slot, [1, T, 1, dim], for cores that apply RoPE.
        start: the first position as an integer, or None where unused.
        caches: for programs that take and return their caches.
        follows: [1] float, 1 if the step follows another, 0 at the first position, where recurrent
            states start from zero. None if there are none, or the caller gives them.
        each_follows: [S] float, the same of each token of the step.
        query_scale: factors on the step's queries, [1, S, 1, 1]; None for models without.
        lent: number of a layer -> what it lends; filled by the layers as they run.
        layer_inputs: [B, S, L, P], inputs of the layers beside the residual stream.
        additions: [N, B, S, D], what layers with an ``addition`` add; None: nothing.
    """

    plans: Plans
    rotations: tuple[Rotation, ...]
    cached_rotations: tuple[Rotation, ...] = ()
    start: int | None = None
    caches: CacheTensors | None = None
    follows: Tensor | None = None
    each_follows: Tensor | None = None
    query_scale: Tensor | None = None
    lent: dict[int, Lent] | None = None
    layer_inputs: Tensor | None = None
    additions: Tensor | None = None

    def last(self) -> Step:
        """The same for the last position alone, in layers that keep nothing of it."""
        cut = {
            window: Plan(plan.slots[-1:], None if plan.mask is None else plan.mask[-1:])
            for window, plan in self.plans.items()
        }
        before = next(iter(self.plans.values())).slots.shape[0] - 1
        return self._replace(
            plans=cut,
            rotations=tuple((cos[:, -1:], sin[:, -1:]) for cos, sin in self.rotations),
            start=None if self.start is None else self.start + before,
            query_scale=None if self.query_scale is None else self.query_scale[:, -1:],
            layer_inputs=None if self.layer_inputs is None else self.layer_inputs[:, -1:],
            additions=None if self.additions is None else self.additions[:, :, -1:],
        )

    def scaled(self, q: Tensor) -> Tensor:
        """Queries [1, S, H, E] by the factors of their positions."""
        return q if self.query_scale is None else q * self.query_scale
