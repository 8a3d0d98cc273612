"""Cortex-M microcontrollers, through the CMSIS-NN kernels. There is no delegate: edge operators
are replaced by CMSIS-NN operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.backends import arm
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.one_scheme import integers_only
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING
from llm_export.errors import Problem

if TYPE_CHECKING:
    from torch.export import ExportedProgram

SUPPORT = integers_only("8a8w", embedding={"8w": EMBEDDING["8w"]})

_CPUS = ("M0", "M0PLUS", "M3", "M4", "M7", "M23", "M33", "M35P", "M55", "M85")


@dataclass(frozen=True)
class Options:
    """``cpu``: M0 to M85; selects the instructions that kernels use."""

    cpu: str = "M55"

    def __post_init__(self) -> None:
        if self.cpu not in _CPUS:
            raise ValueError(f"cpu={self.cpu} is none of {', '.join(_CPUS)}")


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantizer of the whole graph; linear weights have one scale per tensor."""
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer

    return CortexMQuantizer()


def transform_edge(resolved: Resolved, program: ExportedProgram) -> ExportedProgram:
    """Replace operators of the edge program by CMSIS-NN's."""
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.target_config import CortexM, CortexMTargetConfig

    target = CortexMTargetConfig(cpu=CortexM[options_of(resolved, Options).cpu])
    return CortexMPassManager(program, target_config=target).transform()


def edge_config() -> Any:
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config

    return cortex_m_edge_compile_config()


def refusals(resolved: Resolved) -> list[Problem]:
    if arm.is_static(resolved):
        return []
    what = "CMSIS-NN computes in integers: in float nothing is its own"
    return [Problem(what, "quant", "quant=8a8w")]


BACKEND = DeclaredBackend(
    name="cortex_m",
    description="Arm Cortex-M microcontrollers, by CMSIS-NN",
    capabilities=Capabilities(
        dynamic_shapes=False,
        integers_throughout=True,
        attention=("static_io",),
        delegates=False,
        prefill_length=1,
    ),
    make_partitioners=lambda resolved: [],
    needs=(Module("executorch.backends.cortex_m"), *arm.NEEDS),
    runs=(
        Never("a Cortex-M is a microcontroller",
              "build ExecuTorch's runner with CMSIS-NN for the board, or for Arm's Corstone FVP"),
    ),
    make_quantizer=quantizer,
    exported_transform="llm_export.backends.constants:merge_aliases",
    make_edge_config=edge_config,
    edge_transform=transform_edge,
    options=Options,
    refusals=refusals,
    dim_order=True,
    experimental="ExecuTorch's kernels for it are new, and meant for models of a few hundred KB",
    references=("https://docs.pytorch.org/executorch/stable/",),
)  # fmt: skip
