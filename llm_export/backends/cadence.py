"""Cadence: Xtensa DSPs (HiFi, Fusion G3, Vision). No delegate: kernels of its own operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.machine import PythonAtLeast
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import SupportTable

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# Its quantizer matches nothing in graphs with aten linears, without an error.
SUPPORT = SupportTable(
    {ModuleKind.linear: {}, ModuleKind.head: {}, ModuleKind.embedding: EMBEDDING},
    why_not={"8a8w": "Cadence's quantizer wants graphs of another make"},
)


def edge_passes(resolved: Resolved, program: ExportedProgram) -> list[Any]:
    """Cadence's passes over the edge program: replace aten operators by its own."""
    import executorch.backends.cadence.aot.ops_registrations  # noqa: F401
    from executorch.backends.cadence.aot.pass_utils import CompileMode
    from executorch.backends.cadence.aot.passes import get_passes

    return [made() for made in get_passes(CompileMode.DEFAULT)]


BACKEND = DeclaredBackend(
    name="cadence",
    description="Cadence's Xtensa DSPs; for tiny models",
    capabilities=Capabilities(
        dynamic_shapes=False,
        attention=("static_io", "plain"),
        delegates=False,
    ),
    make_partitioners=lambda resolved: [],
    make_edge_passes=edge_passes,
    needs=(
        Module("executorch.backends.cadence"),
        PythonAtLeast("3.12", "ExecuTorch's passes for Cadence need Python 3.12 or later"),
    ),
    runs=(
        Never(
            "Cadence's kernels are built with its own compiler, for the DSP",
            "build ExecuTorch's runner with Cadence's Xtensa toolchain",
        ),
    ),
    experimental="never run on a DSP here",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends-cadence.html",
    ),
)  # fmt: skip
