"""XNNPACK: optimized CPU kernels for Arm and x86."""

from __future__ import annotations

from typing import Any

from llm_export.backends.base import Availability, Capabilities, importable
from llm_export.config.schema import Recipe


class XnnpackBackend:
    name = "xnnpack"
    capabilities = Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain"),
        delegates=True,
        notes=("weight-only quantized linears lower but compute garbage; they are refused",),
    )

    def availability(self) -> Availability:
        return importable("executorch.backends.xnnpack", "pip install executorch")

    def runnable_here(self) -> Availability:
        return self.availability()

    def partitioners(self, recipe: Recipe) -> list[Any]:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
            XnnpackDynamicallyQuantizedPartitioner,
            XnnpackPartitioner,
        )

        # Dynamically quantized linears first: the greedy partitioner would take their
        # surroundings apart otherwise.
        return [XnnpackDynamicallyQuantizedPartitioner(), XnnpackPartitioner()]

    def edge_config(self) -> Any:
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)


BACKEND = XnnpackBackend()
