"""Copy the tensor specs that memory planning uses."""

from __future__ import annotations

from typing import Any

from llm_export.compat.tensor_specs import is_spec, spec_copy


class SpecCopies:
    """Specs of one cloned layer. Specs that share an object, or views that share a base, also do
    so in the copy; specs of other layers are replaced as ``known`` says.
    """

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
        if not is_spec(spec):
            return spec
        if id(spec) not in self._made:
            self.known(spec, spec_copy(spec, self.of))
        return self._made[id(spec)]
