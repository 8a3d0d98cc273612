"""ExecuTorch's portable kernels: no delegate, all platforms, the reference for other backends."""

from __future__ import annotations

from llm_export.backends.base import Capabilities, DeclaredBackend
from llm_export.backends.packages import Module
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

_HALF = Support(per_channel=True, groups=0, delegated=False)
_LINEAR = {
    # quantized_decomposed::mixed_linear
    "8w": Support(per_channel=True, groups=0, delegated=False),
    "fp16": _HALF,
    "bf16": _HALF,
}
_NO_KERNEL = "no portable kernel multiplies by such weights"

SUPPORT = SupportTable(
    {ModuleKind.linear: _LINEAR, ModuleKind.head: _LINEAR, ModuleKind.embedding: EMBEDDING},
    why_not=dict.fromkeys(("8da4w", "8da8w", "4w", "2w", "8a8w"), _NO_KERNEL),
)

BACKEND = DeclaredBackend(
    name="portable",
    description="ExecuTorch's reference kernels on any CPU; slow",
    capabilities=Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain", "static_io", "custom_op_int8", "plain_int8"),
        delegates=False,
        on_arm=True,
        active_experts=True,
    ),
    make_partitioners=lambda resolved: [],
    needs=(Module("executorch.exir"),),
    exported_transform="llm_export.backends.mixed_linear:use_mixed_linear",
    make_lowering_context="llm_export.backends.portable_lowering:faster",
)
