"""Make a transformers model exportable without changing its function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.transformers_layers import conv1d, falcon_linear, tanh_gelus
from llm_export.models.components.feed_forward import gelu_tanh
from llm_export.models.hf.direct_weights import hold_direct_weights
from llm_export.models.hf.experts import separate_experts


def prepare(model: Any) -> None:
    """Apply all changes in place. Only for contexts that ``context_limit`` allows."""
    separate_experts(model)
    prepare_encoder(model)
    hold_direct_weights(model)


def prepare_encoder(model: Any) -> None:
    """The same for a part that steps through no text, such as a vision encoder."""
    fix_rope(model)
    use_linears(model)
    drop_padding(model)
    write_out_gelu(model)


def fix_rope(model: nn.Module) -> None:
    """Fix the rotary frequencies: ``dynamic_rope_update`` reads the positions.

    A rotary module's ``rope_type`` says whether they may change: one name, or one per layer type.
    Within the context that was checked they never change.
    """
    for module in model.modules():
        kind: Any = getattr(module, "rope_type", None)
        if isinstance(kind, dict):
            module.rope_type = dict.fromkeys(kind, "default")  # type: ignore[assignment]
        elif isinstance(kind, str):
            module.rope_type = "default"  # type: ignore[assignment]


def use_linears(model: nn.Module) -> None:
    """Replace linears of other classes by plain ones, which can be quantized and delegated.
    GPT-2's ``Conv1D`` stores its weight transposed; Falcon's linear rounds between product and
    bias, which has no effect in float32.
    """
    transposed = conv1d()
    classes = (transposed, falcon_linear())
    # Only names: a list of modules would keep every replaced weight alive.
    found = [n for n, m in model.named_modules() if isinstance(m, classes)]
    for name in found:
        module: Any = model.get_submodule(name)
        weight = module.weight.t() if isinstance(module, transposed) else module.weight
        with torch.device("meta"):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=module.bias is not None)
        linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        linear.bias = module.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, linear)


def drop_padding(model: nn.Module) -> None:
    """``padding_idx`` affects only gradients, and a lookup that has one is not recognized as a
    lookup in a quantized embedding.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None


class GeluTanh(nn.Module):
    """See ``gelu_tanh`` for why it is not ``F.gelu``."""

    def forward(self, x: Tensor) -> Tensor:
        return gelu_tanh(x)


def write_out_gelu(model: nn.Module) -> None:
    """Replace every tanh-approximated GELU class of the library."""
    classes = tanh_gelus()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, classes):
                setattr(module, name, GeluTanh())
