"""The methods of an ExecuTorch program (.pte), read from its flatbuffer.

Nothing is loaded: no weights, no delegate, and no ExecuTorch, whose loader says neither which
operators a method calls nor whether a tensor's shape is dynamic. The places are those of
``schema/program.fbs`` of executorch 1.5.1.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.compat.flatbuffer import (
    child,
    numbers,
    root,
    scalar,
    string,
    table_at,
    tables,
)

PROGRAM_PLANS = 6
"""``Program.execution_plan``."""
PLAN_NAME, PLAN_VALUES, PLAN_INPUTS, PLAN_OUTPUTS = 4, 8, 10, 12
PLAN_OPERATORS, PLAN_DELEGATES = 16, 18
OPERATOR_NAME, OPERATOR_OVERLOAD, DELEGATE_ID = 4, 6, 4
VALUE_TYPE, VALUE = 4, 6
TENSOR_TYPE, TENSOR_SIZES, TENSOR_DYNAMISM = 4, 8, 20
_INT, _BOOL, _DOUBLE, _TENSOR, _STRING = 2, 3, 4, 5, 6
"""Of the union ``KernelTypes``; its first, 1, is Null."""

DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32",
    7: "float64", 11: "bool", 15: "bfloat16", 27: "uint16", 28: "uint32", 29: "uint64",
}  # fmt: skip
"""``ScalarType`` -> torch's name of the dtype."""

Constant = int | bool | float | str


@dataclass(frozen=True)
class TensorMeta:
    """A tensor that a method takes or returns.

    Attributes:
        sizes: the largest ones if ``dynamic``.
    """

    dtype: str
    sizes: tuple[int, ...]
    dynamic: bool

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.sizes))
        return f"{self.dtype}[{shape}]" + (", dynamic" if self.dynamic else "")


@dataclass(frozen=True)
class ProgramMethod:
    """A method.

    Attributes:
        inputs, outputs: a tensor, a constant, or None for a value of another type.
        operators: "namespace::name.overload" of those that it calls outside delegates.
        backends: ids of its delegates.
    """

    name: str
    inputs: tuple[TensorMeta | Constant | None, ...]
    outputs: tuple[TensorMeta | Constant | None, ...]
    operators: tuple[str, ...]
    backends: tuple[str, ...]

    @property
    def constants(self) -> tuple[Constant, ...] | None:
        """What a method returns that computes nothing, such as ``get_max_seq_len``; None if it
        takes or returns anything else."""
        found = tuple(v for v in self.outputs if isinstance(v, int | float | str))
        computes = self.inputs or self.operators or self.backends or len(found) != len(self.outputs)
        return None if computes else found


def read_methods(path: Path) -> dict[str, ProgramMethod]:
    """Name -> method, in the program's order.

    Raises:
        ValueError: the file is not a whole program.
        OSError: it cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] != b"ET12":
            raise ValueError("it does not begin as an ExecuTorch program")
        try:
            plans = tables(root(data), PROGRAM_PLANS)
            return {plan.name: plan for plan in map(_method, plans)}
        except (struct.error, IndexError, OverflowError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"its tables are damaged ({error})") from None


def _method(plan: Any) -> ProgramMethod:
    return ProgramMethod(
        name=string(plan, PLAN_NAME),
        inputs=_values(plan, PLAN_INPUTS),
        outputs=_values(plan, PLAN_OUTPUTS),
        operators=tuple(sorted({_operator(each) for each in tables(plan, PLAN_OPERATORS)})),
        backends=tuple(sorted({string(d, DELEGATE_ID) for d in tables(plan, PLAN_DELEGATES)})),
    )


def _operator(table: Any) -> str:
    name, overload = string(table, OPERATOR_NAME), string(table, OPERATOR_OVERLOAD)
    return f"{name}.{overload}" if overload else name


def _values(plan: Any, place: int) -> tuple[TensorMeta | Constant | None, ...]:
    indices = numbers(plan, place, 4, signed=True)
    return tuple(_value(table_at(plan, PLAN_VALUES, index)) for index in indices)


def _value(value: Any) -> TensorMeta | Constant | None:
    kind, held = scalar(value, VALUE_TYPE, "Uint8Flags"), child(value, VALUE)
    if held is None:
        return None
    if kind == _TENSOR:
        dtype = scalar(held, TENSOR_TYPE, "Int8Flags")
        return TensorMeta(
            DTYPES.get(dtype, f"dtype {dtype}"),
            tuple(numbers(held, TENSOR_SIZES, 4, signed=True)),
            scalar(held, TENSOR_DYNAMISM, "Int8Flags") != 0,
        )
    if kind == _STRING:
        return string(held, 4)
    flags = {_INT: "Int64Flags", _BOOL: "BoolFlags", _DOUBLE: "Float64Flags"}.get(kind)
    found: Constant | None = None if flags is None else scalar(held, 4, flags)
    return bool(found) if kind == _BOOL else found
