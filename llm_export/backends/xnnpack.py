"""XNNPACK: optimized CPU kernels for Arm and x86."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend
from llm_export.backends.packages import Module
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
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


def partitioners(recipe: Recipe) -> list[Any]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )

    # Dynamically quantized linears first: the greedy partitioner would take their
    # surroundings apart otherwise.
    return [XnnpackDynamicallyQuantizedPartitioner(), XnnpackPartitioner()]


def quantizer(recipe: Recipe, modules: Sequence[str], training: bool) -> Any:
    """Inputs and outputs of the named linears per tensor, their weights per channel."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    from llm_export.quant.nodes import modules_of
    from llm_export.quant.observers import fake_quantizers, histogram_observers

    base = get_symmetric_quantization_config(is_per_channel=True, is_qat=training)
    make_input, make_weight = fake_quantizers() if training else histogram_observers()
    inputs = replace(base.input_activation, observer_or_fake_quant_ctr=make_input)
    weights = replace(base.weight, observer_or_fake_quant_ctr=make_weight)
    config = replace(base, input_activation=inputs, output_activation=inputs, weight=weights)
    chosen = set(modules)
    made = XNNPACKQuantizer()
    # By operator and filter: by names it would search for convolutions too, in seconds a name.
    made.set_operator_type(torch.ops.aten.linear.default, config)
    made.set_filter_function(lambda node: not chosen.isdisjoint(modules_of(node)))
    return made


BACKEND = DeclaredBackend(
    name="xnnpack",
    description="Arm and x86 CPUs: Android, iOS, Linux, macOS, Windows",
    capabilities=Capabilities(
        dynamic_shapes=True,
        attention=("custom_op", "plain", "static_io", "custom_op_int8", "plain_int8"),
        raw_weights=True,
        followed=False,
    ),
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.xnnpack"),),
    make_quantizer=quantizer,
)
