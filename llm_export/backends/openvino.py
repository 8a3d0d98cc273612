"""OpenVINO: Intel CPUs, GPUs and NPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_export.backends import static_linears
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Module, Package
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_LINEAR = {
    "8w": Support(per_channel=True, groups=32, scale_dtype="float16"),
    "4w": Support(per_channel=True, groups=32, scale_dtype="float16", zero_points=True),
}
_TABLE = {name: replace(support, with_head=True) for name, support in _LINEAR.items()}
_STATIC = {"8a8w": Support(per_channel=True, groups=0)}
_NO_DYNAMIC = "OpenVINO has no integer activations with ranges found at run time"

SUPPORT = SupportTable(
    {
        ModuleKind.linear: {**_LINEAR, **_STATIC},
        ModuleKind.head: {**_LINEAR, **_STATIC},
        ModuleKind.embedding: _TABLE,
    },
    why_not=dict.fromkeys(("8da4w", "8da8w"), _NO_DYNAMIC),
)


@dataclass(frozen=True)
class Options:
    """``device``: OpenVINO's device name: CPU, GPU, NPU, AUTO."""

    device: str = "CPU"

    def __post_init__(self) -> None:
        if self.device.split(".")[0].split(":")[0] not in ("CPU", "GPU", "NPU", "AUTO"):
            raise ValueError(f"device '{self.device}' is none of CPU, GPU, NPU, AUTO")


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.openvino.partitioner import OpenvinoPartitioner
    from executorch.exir.backend.backend_details import CompileSpec

    device = options_of(resolved, Options).device
    return [OpenvinoPartitioner([CompileSpec("device", device.encode())])]


def transform_edge(resolved: Resolved, program: ExportedProgram) -> ExportedProgram:
    """Store a constant once, and scales in half precision: ``compact``."""
    from llm_export.compat.lowered_module import rewrite_payloads
    from llm_export.compat.openvino_blobs import compact

    rewrite_payloads(program, BACKEND.delegate, compact)
    return program


BACKEND = DeclaredBackend(
    name="openvino",
    description="Intel CPUs, GPUs and NPUs on Linux and Windows",
    delegate="OpenvinoBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        attention=("static_io", "plain"),
        # Delegates contain their weights, so a prefill method would store the weights twice.
        prefill_length=1,
        # OpenVINO uses bfloat16 on CPUs that have bfloat16 instructions.
        computes_in="bfloat16",
    ),
    make_partitioners=partitioners,
    needs=(
        Module("executorch.backends.openvino"),
        Package("openvino>=2025.4,<2026", "openvino", "2026 crashes in ExecuTorch 1.5's delegate"),
        # The partitioner imports the quantizer's package.
        Package("nncf>=3.1,<3.3", "openvino", "others do not fit openvino 2025"),
    ),
    make_quantizer=static_linears.quantizer,
    exported_transform="llm_export.backends.compressed_weights:spell_out",
    edge_transform=transform_edge,
    options=Options,
    references=("https://docs.pytorch.org/executorch/stable/build-run-openvino.html",),
)
