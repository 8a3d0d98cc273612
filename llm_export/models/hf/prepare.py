"""Changes that make a transformers model exportable and leave its function as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.transformers_layers import conv1d, falcon_linear, tanh_gelus
from llm_export.compat.transformers_models import experts_can_be_set
from llm_export.models.components.feed_forward import gelu_tanh
from llm_export.models.hf import experts


def prepare(model: Any) -> None:
    """Apply all, in place. Only for contexts that ``require_exportable`` lets through."""
    use_dense_experts(model)
    fix_rope(model)
    use_linears(model)
    drop_padding(model)
    write_out_gelu(model)


def use_dense_experts(model: Any) -> None:
    """Experts without data-dependent shapes, where the model lets them be chosen."""
    if experts_can_be_set(model):
        model.set_experts_implementation(experts.NAME)


def fix_rope(model: nn.Module) -> None:
    """Keep rotary frequencies as they are: ``dynamic_rope_update`` looks at the positions.

    A rotary module says by ``rope_type`` whether they may change: a name, or one for each
    type of layer. Within the context that was checked they never do.
    """
    for module in model.modules():
        kind: Any = getattr(module, "rope_type", None)
        if isinstance(kind, dict):
            module.rope_type = dict.fromkeys(kind, "default")  # type: ignore[assignment]
        elif isinstance(kind, str):
            module.rope_type = "default"  # type: ignore[assignment]


def use_linears(model: nn.Module) -> None:
    """Linears that are none by class or by forward: as plain ones they can be quantized and
    delegated. GPT-2's ``Conv1D`` holds its matrix transposed; Falcon's own linear rounds
    between product and bias, which in float32 is nothing."""
    transposed = conv1d()
    classes = (transposed, falcon_linear())
    # Names alone: a list of the modules would keep every matrix that was replaced.
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
    """``padding_idx`` matters to gradients only, and a look-up that has one is not recognized
    as one of a quantized table."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None


class GeluTanh(nn.Module):
    """See ``gelu_tanh`` for why it is written out."""

    def forward(self, x: Tensor) -> Tensor:
        return gelu_tanh(x)


def write_out_gelu(model: nn.Module) -> None:
    """GELU in its tanh form, whichever of the library's classes computes it."""
    classes = tanh_gelus()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, classes):
                setattr(module, name, GeluTanh())
