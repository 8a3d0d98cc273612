"""Program files with any methods, written by ExecuTorch's own serializer. They compute nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Constant = int | bool | float | str


@dataclass(frozen=True)
class T:
    """A tensor."""

    dtype: str
    sizes: tuple[int, ...]
    dynamic: bool = False


@dataclass(frozen=True)
class M:
    """A method."""

    inputs: tuple[T, ...] = ()
    outputs: tuple[T | Constant, ...] = ()
    operators: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()


def constants(values: Mapping[str, Constant | Sequence[int]]) -> dict[str, M]:
    return {
        name: M(outputs=tuple(v) if isinstance(v, list | tuple) else (v,))  # type: ignore[arg-type]
        for name, v in values.items()
    }


def write_program(path: Path, methods: Mapping[str, M]) -> None:
    from executorch.exir import schema
    from executorch.exir._serialize._program import PTEFile, serialize_pte_binary

    plans = [_plan(name, method) for name, method in methods.items()]
    program = schema.Program(
        version=0, execution_plan=plans, constant_buffer=[schema.Buffer(b"")],
        backend_delegate_data=[schema.BackendDelegateInlineData(b"x")], segments=[],
        constant_segment=schema.SubsegmentOffsets(segment_index=0, offsets=[]),
    )  # fmt: skip
    path.write_bytes(bytes(serialize_pte_binary(PTEFile(program=program))))


def _plan(name: str, method: M):  # type: ignore[no-untyped-def]
    from executorch.exir import schema

    values = [_value(each) for each in (*method.inputs, *method.outputs)]
    split = [operator.rpartition(".") for operator in method.operators]
    data = schema.BackendDelegateDataReference(schema.DataLocation.INLINE, 0)
    return schema.ExecutionPlan(
        name=name, container_meta_type=schema.ContainerMetadata("", ""), values=values,
        inputs=list(range(len(method.inputs))),
        outputs=list(range(len(method.inputs), len(values))),
        chains=[schema.Chain(inputs=[], outputs=[], instructions=[], stacktrace=None)],
        operators=[schema.Operator(first, last) for first, _, last in split],
        delegates=[schema.BackendDelegate(each, data, []) for each in method.delegates],
        non_const_buffer_sizes=[0],
    )  # fmt: skip


def _value(each: T | Constant):  # type: ignore[no-untyped-def]
    import torch
    from executorch.exir import schema
    from executorch.exir.tensor import scalar_type_enum

    if not isinstance(each, T):
        kind = {bool: schema.Bool, int: schema.Int, float: schema.Double, str: schema.String}
        return schema.EValue(kind[type(each)](each))
    return schema.EValue(
        schema.Tensor(
            scalar_type=scalar_type_enum(getattr(torch, each.dtype)), storage_offset=0,
            sizes=list(each.sizes), dim_order=list(range(len(each.sizes))), requires_grad=False,
            layout=0, data_buffer_idx=0, allocation_info=None,
            shape_dynamism=schema.TensorShapeDynamism(int(each.dynamic)),
        )
    )  # fmt: skip
