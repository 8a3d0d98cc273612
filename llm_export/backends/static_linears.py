"""Statically quantized int8 linears for backends that delegate linears one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_export.backends.base import Resolved


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantize inputs and outputs of the named linears per tensor, weights per channel."""
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
    # Match by operator and filter: matching by name also searches for convolutions, seconds per
    # name.
    made.set_operator_type(torch.ops.aten.linear.default, config)
    made.set_filter_function(lambda node: not chosen.isdisjoint(modules_of(node)))
    return made
