"""The shapes that a program takes and returns, as JSON for its constant method
``get_model_schema``.

The form is react-native-executorch's (``src/core/schema.ts``, ``ModelSpec<ConcreteDim>``): method
-> ``inputs``, ``outputs`` and ``runtimeConstraints``. A .pte alone states the largest size of each
dimension, not which of them vary and which vary together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from llm_export.errors import PostConditionError

METHOD = "get_model_schema"

_KINDS = {bool: "Bool", int: "Int", float: "Double", str: "String", type(None): "None"}


def model_schema(programs: Mapping[str, ExportedProgram]) -> str:
    """JSON of all methods. A dimension is ``constant``, or a ``range`` of the values that
    torch.export's constraints allow; dimensions of one method that have the same size in every
    call are an ``equality``, others that depend on one another are ``linear``.

    Raises:
        PostConditionError: a dimension has no upper bound, or is no linear function of a size.
    """
    found = {name: _method(name, program) for name, program in programs.items()}
    return json.dumps(found, separators=(",", ":"))


def _method(name: str, program: ExportedProgram) -> dict[str, object]:
    values = {n.name: n.meta.get("val") for n in program.graph.nodes}
    signature = program.graph_signature
    taken = [s.arg for s in signature.input_specs if s.kind is InputKind.USER_INPUT]
    made = [s.arg for s in signature.output_specs if s.kind is OutputKind.USER_OUTPUT]
    inputs = [_value(arg, values) for arg in taken]
    outputs = [_value(arg, values) for arg in made]
    dims = _Dims(name, program.range_constraints)
    return {
        "inputs": [_parameter(value, dims) for value in inputs],
        "outputs": [_parameter(value, dims) for value in outputs],
        "runtimeConstraints": list(_constraints({"input": inputs, "output": outputs}, dims)),
    }


def _value(arg: Any, values: Mapping[str, Any]) -> Any:
    """The example of an input or output: a tensor, or a Python value."""
    return values[arg.name] if arg.name in values else getattr(arg, "value", None)


def _parameter(value: Any, dims: _Dims) -> dict[str, object]:
    if not isinstance(value, torch.Tensor):
        return {"kind": _KINDS.get(type(value), "Int")}
    dtype = str(value.dtype).removeprefix("torch.")
    return {"kind": "Tensor", "dtype": dtype, "shape": [dims.domain(s) for s in value.shape]}


class _Dims:
    """The dimensions of a method, as a symbol times a factor plus a summand."""

    def __init__(self, method: str, ranges: Mapping[Any, Any]) -> None:
        self._method, self._ranges = method, ranges

    def linear(self, size: Any) -> tuple[Any, int, int] | None:
        """(symbol, factor, summand); None for a constant."""
        if not isinstance(size, torch.SymInt):
            return None
        expression = size.node.expr
        symbols = sorted(expression.free_symbols, key=str)
        if not symbols:
            return None
        terms = expression.as_poly(*symbols)
        if len(symbols) != 1 or terms is None or terms.degree() != 1:
            raise self._problem(f"{expression} is no linear function of one size")
        factor, summand = (int(c) for c in terms.all_coeffs())
        return symbols[0], factor, summand

    def domain(self, size: Any) -> dict[str, object]:
        found = self.linear(size)
        if found is None:
            return {"kind": "constant", "value": int(size)}
        symbol, factor, summand = found
        allowed = self._ranges.get(symbol)
        if allowed is None or not allowed.upper.is_Integer:  # torch's int_oo is none
            raise self._problem(f"{symbol} has no upper bound")
        ends = sorted(factor * int(end) + summand for end in (allowed.lower, allowed.upper))
        low, high, step = max(ends[0], 1), ends[1], abs(factor)
        return {"kind": "range", "range": {"min": low, "max": high, "step": step}}

    def _problem(self, what: str) -> PostConditionError:
        return PostConditionError(
            f"a dimension of method {self._method} cannot be declared: {what}",
            where=METHOD,
            fix="runtime.dynamic_shapes=false makes every dimension constant",
        )


def _constraints(sides: Mapping[str, Sequence[Any]], dims: _Dims) -> Iterator[dict[str, object]]:
    """What holds between varying dimensions: those of a symbol that have the same size are one
    equality, and the first of each other size is a linear function of the simplest.
    """
    groups: dict[Any, dict[tuple[int, int], list[dict[str, object]]]] = {}
    for side, values in sides.items():
        tensors = [v for v in values if isinstance(v, torch.Tensor)]
        for index, tensor in enumerate(tensors):
            for dim, size in enumerate(tensor.shape):
                if found := dims.linear(size):
                    place = {"paramSide": side, "tensorIdx": index, "dimIdx": dim}
                    same = groups.setdefault(found[0], {})
                    same.setdefault(found[1:], []).append(place)
    for same in groups.values():
        for places in same.values():
            if len(places) > 1:
                yield {"kind": "equality", "dims": places}
        (factor, summand), *others = sorted(same, key=lambda size: abs(size[0]))
        for other, added in others:
            times, left = divmod(other, factor)
            if left == 0:  # the form has integer coefficients only
                yield {
                    "kind": "linear",
                    "dimLhs": same[other, added][0],
                    "dimRhs": same[factor, summand][0],
                    "coefficients": [times, added - times * summand],
                }
