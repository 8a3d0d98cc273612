"""A method that returns a program's mutable buffers, the memory itself, for the runtime to read
and write.

ExecuTorch's emitter writes a method for each captured graph, and in a graph a buffer that no step
changes is a constant. So the method is added to what the emitter has made: its values lie at the
buffers' places in the memory plan, and it has no instructions. A runtime that gives all methods of
a program the same memory (``Runtime.load_program``; ``Module`` with ``share_memory_arenas``)
then returns the state of the others. Written for executorch 1.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class MutableBuffer:
    """A buffer that a method changes: its qualified name, sizes, and dtype (``float32``)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@contextmanager
def with_state_method(name: str, buffers: Collection[str]) -> Iterator[list[MutableBuffer]]:
    """Programs emitted in this context get the method, if it can return all of ``buffers`` and if
    no step changes others. It cannot where a delegate or an accelerator holds some.

    Args:
        buffers: qualified names.

    Yields:
        a list that is filled with the method's outputs, in their order.
    """
    from executorch.exir.program import _program as exir

    emit, found = exir.emit_program, list[MutableBuffer]()

    def emit_with_state(methods: Any, *args: Any, **kwargs: Any) -> Any:
        emitted = emit(methods, *args, **kwargs)
        programs = methods if isinstance(methods, Mapping) else {"forward": methods}
        found[:] = _add(emitted.program, programs, name, set(buffers))
        return emitted

    exir.emit_program = emit_with_state
    try:
        yield found
    finally:
        exir.emit_program = emit


def _add(
    program: Any, methods: Mapping[str, ExportedProgram], name: str, wanted: set[str]
) -> list[MutableBuffer]:
    """Add the method to an emitted program; returns its outputs."""
    from executorch.exir import schema
    from executorch.exir.tensor import make_tensor_value

    # Methods share their buffers, in the same places.
    method, specs = max(((m, _specs(p)) for m, p in methods.items()), key=lambda each: len(each[1]))
    plan = next(p for p in program.execution_plan if p.name == method)
    if not specs or set(specs) != wanted or plan.non_const_buffer_device:
        return []
    values = []
    for spec in specs.values():
        where = schema.AllocationDetails(
            memory_id=spec.mem_id,
            memory_offset_low=spec.mem_offset & 0xFFFFFFFF,
            memory_offset_high=spec.mem_offset >> 32,
        )
        values.append(schema.EValue(make_tensor_value(0, where, spec)))
    program.execution_plan.append(
        schema.ExecutionPlan(
            name=name,
            container_meta_type=schema.ContainerMetadata("", ""),
            values=values,
            inputs=[],
            outputs=list(range(len(values))),
            chains=[schema.Chain(inputs=[], outputs=[], instructions=[], stacktrace=None)],
            operators=[],
            delegates=[],
            non_const_buffer_sizes=list(plan.non_const_buffer_sizes),
        )
    )
    return [
        MutableBuffer(
            buffer, tuple(spec.shape), str(spec.dtype).removeprefix("torch."), spec.nbytes()
        )
        for buffer, spec in specs.items()
    ]


def _specs(program: ExportedProgram) -> dict[str, Any]:
    """Qualified name -> ``TensorSpec`` of each buffer that the method changes."""
    signature = program.graph_signature
    changed = set(signature.buffers_to_mutate.values())
    return {
        signature.inputs_to_buffers[node.name]: node.meta["spec"]
        for node in program.graph.nodes
        if node.op == "placeholder" and signature.inputs_to_buffers.get(node.name) in changed
    }
