"""XNNPACK: optimized CPU kernels for Arm and x86."""

from __future__ import annotations

from typing import Any

from llm_export.backends.base import Capabilities, WheelBackend
from llm_export.config.schema import Recipe


def partitioners(recipe: Recipe) -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )

    # Dynamically quantized linears first: the greedy partitioner would take their
    # surroundings apart otherwise.
    return [XnnpackDynamicallyQuantizedPartitioner(), XnnpackPartitioner()]


BACKEND = WheelBackend(
    name="xnnpack",
    capabilities=Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain", "static_io", "custom_op_int8", "plain_int8"),
        delegates=True,
    ),
    module="executorch.backends.xnnpack",
    make_partitioners=partitioners,
)
