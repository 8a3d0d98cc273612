"""The programs of an ExecuTorch ``EdgeProgramManager`` by method.

Its public methods give one program, and take none back: backends here change a program after
partitioning. Written for executorch 1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def edge_programs(edge: Any) -> dict[str, ExportedProgram]:
    """Method -> program, in the order in which methods are emitted."""
    return edge._edge_programs


def replace_program(edge: Any, method: str, program: ExportedProgram) -> None:
    edge._edge_programs[method] = program


def constant_methods(edge: Any) -> Any:
    """Method -> the constant that it returns."""
    return edge._config_methods
