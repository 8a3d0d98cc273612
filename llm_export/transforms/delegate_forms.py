"""Rewrite parts of a decoder in equivalent forms that delegates can take whole.

XNNPACK supports neither a mean over channels nor a slice of a tensor of dynamic length. With these
written as matrix products, two delegates and a fused attention operator make up a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.memory import memory_mapped, release
from llm_export.models.components.attention import Attention, FusedQKV, GroupedQKV
from llm_export.models.components.attention_cores import KINDS
from llm_export.models.components.norm import (
    PlainProductRMSNorm,
    PlainRMSNorm,
    ProductRMSNorm,
    RMSNorm,
)
from llm_export.models.components.rope import GroupedRotaryTables
from llm_export.models.decoder import Decoder
from llm_export.transforms.base import Transform


def forms_for(
    model: nn.Module, names: Sequence[str], *, kind: str, dtype: torch.dtype
) -> Iterator[Transform]:
    """The forms that apply to the model.

    Args:
        names: ``Capabilities.forms``.
        kind: the attention kind that it will have.
        dtype: what it will compute in.
    """
    if not isinstance(model, Decoder):
        return
    # The square of an outlier overflows half precision.
    if "product_norms" in names and dtype == torch.float32 and any(_norms(model)):
        yield Transform("product_norms", _product_norms, _check_norms)
    if "grouped_projections" in names and _grouping(model, kind) is not None:
        yield Transform("grouped_projections", _group_projections, _check_grouped)


_PRODUCTS: dict[type[nn.Module], Any] = {
    RMSNorm: ProductRMSNorm,
    PlainRMSNorm: PlainProductRMSNorm,
}


def _norms(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in _PRODUCTS:
                yield parent, name, child


def _product_norms(model: nn.Module) -> int:
    found = list(_norms(model))
    for parent, name, norm in found:
        setattr(parent, name, _PRODUCTS[type(norm)].stands_for(norm))
    return len(found)


def _check_norms(model: nn.Module) -> None:
    if any(_norms(model)):
        raise PostConditionError("norms are left whose mean is no product")


def _grouping(model: Decoder, kind: str) -> tuple[int, int] | None:
    """(queries per KV head, E) if all layers can be grouped in the same way, since they share RoPE
    tables. None if queries and keys are normed separately or queries scaled by position, or the
    core applies RoPE.
    """
    attentions = [layer.attention for layer in model.layers if layer.attention is not None]
    plain = [
        a
        for a in attentions
        if type(a) is Attention
        and isinstance(a.qkv, FusedQKV)
        and type(a.qkv.fused) is nn.Linear
        and a.q_norm is None
    ]
    apart = len(plain) < len(attentions) or model.query_scale is not None
    if apart or getattr(KINDS[kind].core, "rotates_inside", False):
        return None
    shapes = {(a.config.num_heads // a.config.num_kv_heads, a.config.head_dim) for a in plain}
    return shapes.pop() if len(shapes) == 1 else None


def _group_projections(model: nn.Module) -> int:
    assert isinstance(model, Decoder)
    for layer in model.layers:
        attention = layer.attention
        if attention is None:
            continue
        assert isinstance(attention, Attention)
        assert isinstance(attention.qkv, FusedQKV)
        config, fused = attention.config, attention.qkv.fused
        group, e = config.num_heads // config.num_kv_heads, config.head_dim
        order = _order(config.num_kv_heads, group, e)
        fused.weight = nn.Parameter(memory_mapped(fused.weight[order]), requires_grad=False)
        release()
        if fused.bias is not None:
            fused.bias = nn.Parameter(fused.bias[order], requires_grad=False)
        rotated = 0 if config.rope is None else model.config.ropes[config.rope].dim
        attention.qkv = GroupedQKV(fused, config, rotated)
    for index, rope in enumerate(model.ropes):
        made = GroupedRotaryTables(rope.config, rope.context_length, group, e)  # type: ignore[arg-type]
        made.init_buffers()
        model.ropes[index] = made
    return len(model.layers)


def _check_grouped(model: nn.Module) -> None:
    if any(isinstance(m, FusedQKV) for m in model.modules()):
        raise PostConditionError("projections of some layers are not grouped by KV head")


def _order(heads: int, group: int, e: int) -> Tensor:
    """Rows of a FusedQKV in the order of a GroupedQKV."""
    rows = torch.arange(heads * (group + 2) * e).view(-1, e)
    q, k, v = rows.split([heads * group, heads, heads])
    return torch.cat((q.view(heads, group, e), k[:, None], v[:, None]), dim=1).flatten()
