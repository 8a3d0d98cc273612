"""XNNPACK: optimized CPU kernels for Arm and x86."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_export.backends import static_linears
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.packages import Module
from llm_export.backends.tables import EMBEDDING
from llm_export.compat.versions import lowering_untested
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

_LINEAR = {
    # XNNPACK's 4-bit blocks are multiples of 32.
    "8da4w": Support(per_channel=True, groups=32, scale_dtype="bfloat16", offsets=True),
    # "Only 4b group quantization is supported" for groups.
    "8da8w": Support(per_channel=True, groups=0),
    "8a8w": Support(per_channel=True, groups=0),
    "fp16": Support(per_channel=True, groups=0),
}
_GARBAGE = "it lowers without complaint and computes garbage"

SUPPORT = SupportTable(
    {ModuleKind.linear: _LINEAR, ModuleKind.head: _LINEAR, ModuleKind.embedding: EMBEDDING},
    why_not={
        **dict.fromkeys(("8w", "4w", "2w"), _GARBAGE),
        "bf16": "its delegate leaves bfloat16 products to slow reference kernels",
    },
)


@dataclass(frozen=True)
class Options:
    """Keys of ``backend.options``.

    Attributes:
        delegated_prefill: whether XNNPACK computes attention of multi-token steps and
            the fused operator that of single tokens. If false, the operator computes both.
    """

    delegated_prefill: bool = True


def partitioners(resolved: Resolved) -> list[Any]:
    if lowering_untested():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return [XnnpackPartitioner()]
    from llm_export.backends.xnnpack_partitioner import LayerwisePartitioner

    return [LayerwisePartitioner()]


BACKEND = DeclaredBackend(
    name="xnnpack",
    description="Arm and x86 CPUs: Android, iOS, Linux, macOS, Windows",
    delegate="XnnpackBackend",
    capabilities=Capabilities(
        dynamic_shapes=True,
        attention=(
            "custom_op_by_head",
            "custom_op",
            "plain",
            "static_io",
            "custom_op_bfloat16",
            "custom_op_int8",
            "plain_int8",
        ),
        raw_weights=True,
        forms=("product_norms", "grouped_projections"),
        repeats=True,
        active_experts=True,
        followed=False,
        on_arm=True,
    ),
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.xnnpack"),),
    make_quantizer=static_linears.quantizer,
    make_lowering_context="llm_export.backends.xnnpack_lowering:faster",
    memory_planning_hook="llm_export.backends.xnnpack_prefill:before_memory_planning",
    options=Options,
)
