"""MLX: GPUs of Macs with Apple silicon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.packages import Module, Package, Platform
from llm_export.compat.vendor_backends import MLX_SERIALIZERS
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

_WEIGHTS = {
    "4w": Support(per_channel=False, groups=32, zero_points=True),
    "8w": Support(per_channel=False, groups=32),
    "bf16": Support(per_channel=True, groups=0),
}

# Constants of the same bytes are stored once.
_TABLE = {**_WEIGHTS, **{n: replace(_WEIGHTS[n], with_head=True) for n in ("4w", "8w")}}

SUPPORT = SupportTable(
    {
        ModuleKind.linear: _WEIGHTS,
        ModuleKind.head: _WEIGHTS,
        ModuleKind.embedding: _TABLE,
    },
    why_not=dict.fromkeys(("8da4w", "8da8w"), "MLX's kernels quantize weights only"),
)


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.mlx import MLXPartitioner

    return [MLXPartitioner()]


BACKEND = DeclaredBackend(
    name="mlx",
    description="GPUs of Macs with Apple silicon",
    delegate="MLXBackend",
    capabilities=Capabilities(
        # Dynamic shapes lower too, but cache writes stay outside the delegate.
        dynamic_shapes=False,
        attention=("static_io", "plain"),
    ),
    make_partitioners=partitioners,
    needs=(
        Module("executorch.backends.mlx"),
        Package("transformers>=5.23", "mlx"),
        Module(
            MLX_SERIALIZERS,
            "ExecuTorch's Linux package lacks the generated files of its MLX backend",
            "python -m llm_export.backends.mlx_files",
        ),
    ),
    runs=(Platform("Darwin", "MLX runs on macOS only", "run the bundle on a Mac"),),
    references=("https://docs.pytorch.org/executorch/stable/",),
)
