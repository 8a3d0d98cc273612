"""ExecuTorch's portable kernels: no delegate, every platform, the reference for others."""

from __future__ import annotations

from typing import Any

from llm_export.backends.base import Availability, Capabilities, importable
from llm_export.config.schema import Recipe


class PortableBackend:
    name = "portable"
    capabilities = Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain"),
        delegates=False,
        weight_copies=1,
        notes=("quantized linears have no portable kernel; they are refused",),
    )

    def availability(self) -> Availability:
        return importable("executorch.exir", "pip install executorch")

    def runnable_here(self) -> Availability:
        return self.availability()

    def partitioners(self, recipe: Recipe) -> list[Any]:
        return []

    def edge_config(self) -> Any:
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)


BACKEND = PortableBackend()
