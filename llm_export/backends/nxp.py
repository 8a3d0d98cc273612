"""NXP: the eIQ Neutron NPU of i.MX RT microcontrollers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.backends import one_scheme
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.one_scheme import integers_only
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TARGETS = ("imxrt700",)

SUPPORT = integers_only("8a8w", embedding=EMBEDDING)


@dataclass(frozen=True)
class Options:
    """Attributes:
    target: the chip; ExecuTorch 1.5 takes Neutron N3 in microcontrollers: imxrt700.
    fetch_constants_to_sram: stream weights from flash, for models larger than the SRAM.
    """

    target: str = "imxrt700"
    fetch_constants_to_sram: bool = True

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target={self.target} is none of {', '.join(TARGETS)}")


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.nxp.backend.neutron_target_spec import NeutronTargetSpec
    from executorch.backends.nxp.neutron_partitioner import NeutronPartitioner
    from executorch.backends.nxp.nxp_backend import generate_neutron_compile_spec

    options = options_of(resolved, Options)
    specs = generate_neutron_compile_spec(
        options.target, fetch_constants_to_sram=options.fetch_constants_to_sram
    )
    return [NeutronPartitioner(specs, NeutronTargetSpec(options.target))]


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantizer for all operators that the NPU supports, in int8."""
    from executorch.backends.nxp.backend.neutron_target_spec import NeutronTargetSpec
    from executorch.backends.nxp.quantizer.neutron_quantizer import NeutronQuantizer

    target = NeutronTargetSpec(options_of(resolved, Options).target)
    return NeutronQuantizer(target, is_qat=training)


def edge_passes(resolved: Resolved, program: ExportedProgram) -> list[Any]:
    """NXP's passes over the edge program, before partitioning."""
    from executorch.backends.nxp.edge_passes.neutron_edge_pass_manager import (
        NeutronEdgePassManager,
    )

    return [NeutronEdgePassManager()]


BACKEND = DeclaredBackend(
    name="nxp",
    description="eIQ Neutron NPUs of NXP's i.MX RT microcontrollers; for tiny models",
    delegate="NeutronBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        integers_throughout=True,
        attention=("static_io", "plain"),
        prefill_length=1,
    ),
    make_partitioners=partitioners,
    refusals=one_scheme.refusals,
    make_edge_passes=edge_passes,
    needs=(
        Module("executorch.backends.nxp"),
        Module(
            "eiq_neutron_sdk",
            "NXP's eiq_neutron_sdk is not installed",
            "pip install --index-url https://eiq.nxp.com/repository eiq_neutron_sdk"
        ),
    ),
    runs=(Never("a Neutron NPU runs it", "run the program on an i.MX RT700 board"),),
    make_quantizer=quantizer,
    options=Options,
    experimental="never lowered with NXP's SDK here; compare on a board before relying on it",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends/nxp/nxp-overview.html",
    ),
)  # fmt: skip
