"""OpenVINO: Intel CPUs, GPUs and NPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from llm_export.backends import static_linears
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Module, Package
from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import Problem, excerpt
from llm_export.quant.schemes import Support, SupportTable

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_LINEAR = {
    "8w": Support(per_channel=True, groups=32, scale_dtype="float16"),
    "4w": Support(per_channel=True, groups=32, scale_dtype="float16", zero_points=True),
}
_TABLE = {name: replace(support, with_head=True) for name, support in _LINEAR.items()}
_STATIC = {"8a8w": Support(per_channel=True, groups=0)}
_DEVICE = re.compile(r"(CPU|GPU|NPU)(\.\d+)*")
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
    """``device``: OpenVINO's name of the device that the program is compiled for: CPU, GPU or NPU,
    and one of several as GPU.1. AUTO, MULTI, HETERO and BATCH choose when a model is loaded, and
    cannot write the compiled model that a program contains."""

    device: str = "CPU"

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(
                f"device '{excerpt(self.device)}' is none of CPU, GPU, NPU: a program is compiled "
                "for one device"
            )


def refused(resolved: Resolved) -> list[Problem]:
    """A device other than the CPU that OpenVINO does not find here, where it has to compile."""
    device = options_of(resolved, Options).device
    if device.startswith("CPU") or find_spec("openvino") is None:
        return []
    found = _devices()
    if any(device in (name, name.partition(".")[0], f"{name}.0") for name in found):
        return []
    return [
        Problem(
            f"OpenVINO compiles for {device} only where it finds one; here it finds "
            f"{', '.join(found) or 'no device'}",
            "backend.options.device",
            f"backend.options.device={(found or ['CPU'])[0]}, or run on a machine with {device}",
            environment=True,
        )
    ]


@lru_cache(maxsize=1)
def _devices() -> tuple[str, ...]:
    import openvino

    return tuple(openvino.Core().available_devices)


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
    refusals=refused,
    references=("https://docs.pytorch.org/executorch/stable/build-run-openvino.html",),
)
