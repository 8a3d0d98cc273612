"""BitNet's linears in transformers, which round their inputs to 8 bits. Written for transformers
5.23.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def float_linears(model: Any) -> int:
    """Replace each by a linear with the weight that it computes with, in float32, so that a model
    can be compared with one whose activations are not rounded. Returns their number.
    """
    from transformers.integrations.bitnet import (
        AutoBitLinear,
        BitLinear,
        WeightQuant,
        unpack_weights,
    )

    changed = 0
    # The library compiles these functions, for which not every machine has a compiler.
    with torch.compiler.set_stance("force_eager"):
        for name, module in list(model.named_modules()):
            bias = getattr(module, "bias", None)
            if isinstance(module, AutoBitLinear) and module.online_quant:
                weight = WeightQuant.apply(module.weight)
            elif isinstance(module, AutoBitLinear):
                weight = module.weight * module.weight_scale
                bias = None if bias is None else bias * module.weight_scale
            elif isinstance(module, BitLinear):
                weight = unpack_weights(module.weight, torch.float32) / module.weight_scale
            else:
                continue
            model.set_submodule(name, _linear(weight, bias))
            changed += 1
    return changed


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.float(), requires_grad=False)
    return made
