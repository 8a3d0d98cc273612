"""Buffers that one method of a program writes and another only reads.

In a captured graph a buffer that its method does not write is a constant: a delegate takes its
values of that moment into the file, and never sees what another method writes. Nothing fails; the
program is wrong. So such a buffer is declared as written where it is only read, with itself as its
new value. ExecuTorch then keeps it in the memory that the methods share, and copies nothing.
Written for executorch 1.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import fx
from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def written_buffers(program: ExportedProgram) -> set[str]:
    """Qualified names of the buffers that a captured program writes in place."""
    buffers = program.graph_signature.inputs_to_buffers
    written = set(program.graph_signature.buffers_to_mutate.values())
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for at, argument in enumerate(schema.arguments if schema is not None else ()):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            given = node.args[at] if at < len(node.args) else node.kwargs.get(argument.name)
            if isinstance(given, fx.Node) and (source := _viewed(given)).name in buffers:
                written.add(buffers[source.name])
    return written


def _viewed(node: fx.Node) -> fx.Node:
    """The tensor that ``node`` is a view of, or was made from in place."""
    while node.op == "call_function":
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.returns or schema.returns[0].alias_info is None:
            break
        source = node.args[0]
        if not isinstance(source, fx.Node):
            break
        node = source
    return node


def passes_for_shared_state(programs: Mapping[str, ExportedProgram]) -> dict[str, list[Any]]:
    """Method -> the pass over its edge program that declares what other methods write; none where
    the method reads nothing of the kind.
    """
    written = {name: written_buffers(program) for name, program in programs.items()}
    every = set().union(*written.values())
    found: dict[str, list[Any]] = {}
    for name, program in programs.items():
        held = set(program.graph_signature.inputs_to_buffers.values())
        read = (every - written[name]) & held
        found[name] = [_declaring(read)] if read else []
    return found


def _declaring(names: Iterable[str]) -> Any:
    from executorch.exir.pass_base import ExportedProgramPassBase, ExportedProgramPassResult

    class DeclareSharedState(ExportedProgramPassBase):
        """Return each of the buffers as its own new value."""

        def call(self, exported_program: ExportedProgram) -> ExportedProgramPassResult:
            declare_written(exported_program, names)
            return ExportedProgramPassResult(exported_program, True)

    return DeclareSharedState()


def declare_written(program: ExportedProgram, names: Iterable[str]) -> None:
    """Make the program, whose graph is functional, return each buffer as its own new value."""
    signature, wanted = program.graph_signature, set(names)
    wanted -= set(signature.buffers_to_mutate.values())
    output = program.graph.output_node()
    at, specs = len(signature.buffers_to_mutate), list(signature.output_specs)
    returned: list[Any] = list(output.args[0])
    for node in program.graph.find_nodes(op="placeholder"):
        name = signature.inputs_to_buffers.get(node.name)
        if name in wanted:
            returned.insert(at, node)
            spec = OutputSpec(OutputKind.BUFFER_MUTATION, TensorArgument(node.name), name)
            specs.insert(at, spec)
            at += 1
    output.args = (tuple(returned),)
    signature.output_specs[:] = specs
    program.graph_module.recompile()
