"""Copies of the tensor specs that memory planning works on."""

from __future__ import annotations

import copy
from typing import Any


class SpecCopies:
    """Specs of one repeated layer. Specs that share an object, or whose views share a base, do
    so in the copy; what belongs to other layers is replaced by what ``known`` says."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._alive: list[Any] = []

    def known(self, spec: Any, instead: Any) -> None:
        if isinstance(spec, (list, tuple)):
            for a, b in zip(spec, instead, strict=True):
                self.known(a, b)
        elif spec is not None:
            self._made[id(spec)] = instead
            self._alive.append(spec)

    def of(self, spec: Any) -> Any:
        if isinstance(spec, (list, tuple)):
            return type(spec)(self.of(one) for one in spec)
        if spec is None or not hasattr(spec, "shape_dynamism"):
            return spec
        if id(spec) not in self._made:
            self.known(spec, self._copy(spec))
        return self._made[id(spec)]

    def _copy(self, spec: Any) -> Any:
        base = getattr(spec, "_base", None)
        if base is not None:
            # Its constructor and its attributes look at the base; a copy is made past both.
            view = object.__new__(type(spec))
            state = object.__getattribute__(spec, "__dict__")
            object.__getattribute__(view, "__dict__").update(
                {**state, "shape": list(state["shape"]), "_base": self.of(base)}
            )
            return view
        made = copy.copy(spec)
        made.shape = list(spec.shape)
        made.init_mem_planning_fields()
        return made
