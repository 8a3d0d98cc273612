"""What every layer needs to know about the current step, computed once a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

Rotation = tuple[Tensor, Tensor]


class Plan(NamedTuple):
    """What the step does with the caches of all layers that have the same window.

    Attributes:
        slots: [S] int64, the cache slots that the step's keys and values are written to.
        mask: additive, [S, T], or None where the core masks by itself.
    """

    slots: Tensor
    mask: Tensor | None


Plans = dict[int | None, Plan]


class Planned(NamedTuple):
    """A planner's answer.

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
    """Caches of a program that takes and returns them, in the order of layers; of each layer
    the keys, then the values.

    Attributes:
        given: [1, K, T, E], taken by each core in turn.
        made: the step's own, [1, K, S, E], appended by each core in turn.
    """

    given: Iterator[Tensor]
    made: list[Tensor]


class Step(NamedTuple):
    """The current step.

    Attributes:
        plans: window -> Plan.
        rotations: (cos, sin) of each RoPE of the model, [1, S, 1, dim].
        cached_rotations: the same by cache slot, [1, T, 1, dim], for cores that rotate inside.
        start: the first position as an integer, or None where unused.
        caches: for programs that hold no caches of their own.
    """

    plans: Plans
    rotations: tuple[Rotation, ...]
    cached_rotations: tuple[Rotation, ...] = ()
    start: int | None = None
    caches: CacheTensors | None = None
