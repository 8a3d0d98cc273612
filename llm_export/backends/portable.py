"""ExecuTorch's portable kernels: no delegate, every platform, the reference for others."""

from __future__ import annotations

from llm_export.backends.base import Capabilities, WheelBackend

BACKEND = WheelBackend(
    name="portable",
    capabilities=Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain", "static_io", "custom_op_int8", "plain_int8"),
        delegates=False,
    ),
    module="executorch.exir",
    make_partitioners=lambda recipe: [],
)
