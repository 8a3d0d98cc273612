"""Move activation outliers into weights before dynamic quantization (SmoothQuant).

https://arxiv.org/abs/2211.10438. For a linear y = W x and any positive vector s,
W x = (W diag(s)) (x / s). The division is folded into whatever makes x, a norm's weight or
the rows of another matrix, so the float model computes the same, and int8 activations, which
share one scale a token, lose less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.models.components.attention import Attention, FusedQKV
from llm_export.models.components.feed_forward import (
    FusedGateUp,
    GatedFeedForward,
    PlainFeedForward,
)
from llm_export.models.components.latent_attention import LatentAttention
from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.decoder import Decoder
from llm_export.quant.inputs import all_logits, input_ranges
from llm_export.transforms.base import Transform

# Relative to the largest logit: what float32 may lose by rescaling.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Edge:
    """A vector that is made by ``rows`` of ``producers`` and read by ``consumers``.

    Attributes:
        producers: parameters whose first dimension is the vector's (norm weights, rows of a
            matrix, its bias); divided by s.
        rows: the slice of the first dimension.
        consumers: matrices that read the vector; their columns are multiplied by s.
        group: query heads that share one key/value head, for the vector of values; else 1.
        head_dim: E, where group is not 1.
    """

    producers: tuple[nn.Parameter, ...]
    rows: slice
    consumers: tuple[nn.Module, ...]
    group: int = 1
    head_dim: int = 1


def smooth(calibration: Sequence[Sequence[int]], alpha: float, *, head: bool = True) -> Transform:
    """A transform that smooths every linear of a decoder.

    Args:
        calibration: windows of token ids, each at most the context long.
        alpha: 0 leaves activations alone, 1 moves all of their range into the weights.
        head: whether the output matrix is smoothed, too. One that is also the embedding would
            then have to be stored apart from it.
    """
    probe = torch.tensor([list(calibration[0])])
    before: list[Tensor] = []

    def apply(model: nn.Module) -> int:
        assert isinstance(model, Decoder)
        before.append(all_logits(model, probe))
        if head and model.head.weight is model.embed.weight:
            model.head.weight = nn.Parameter(model.head.weight.clone(), requires_grad=False)
        edges = [e for e in _edges(model) if head or model.head not in e.consumers]
        names = {module: name for name, module in model.named_modules()}
        first = [names[edge.consumers[0]] for edge in edges]
        ranges = input_ranges(model, first, calibration)
        for edge, name in zip(edges, first, strict=True):
            _rescale(edge, ranges[name], alpha)
        return len(edges)

    def check(model: nn.Module) -> None:
        assert isinstance(model, Decoder)
        reference = before[-1]
        error = float((all_logits(model, probe) - reference).abs().max() / reference.abs().max())
        if not error <= _TOLERANCE:
            raise PostConditionError(
                f"smoothing changed the float model: relative error {error:.2g} of the logits"
            )

    return Transform("smooth", apply, check)


def _edges(model: Decoder) -> list[Edge]:
    edges: list[Edge] = []
    for layer in model.layers:
        attention, ffn = layer.attention, layer.feed_forward
        reads = {"attention_norm": _attention_readers(attention)}  # type: ignore[arg-type]
        # In a parallel block one norm feeds both.
        norm = "ffn_norm" if hasattr(layer, "ffn_norm") else "attention_norm"
        reads[norm] = (*reads.get(norm, ()), *_ffn_readers(ffn))  # type: ignore[arg-type]
        for name, readers in reads.items():
            if hasattr(layer, name):
                edges.append(Edge(_parameters(getattr(layer, name)), _ALL, readers))
        edges += _inner_edges(attention, ffn)  # type: ignore[arg-type]
    edges.append(Edge(_parameters(model.norm), _ALL, (model.head,)))
    return edges


_ALL = slice(None)


def _attention_readers(attention: nn.Module) -> tuple[nn.Module, ...]:
    """The linears that read the block's normed input."""
    if isinstance(attention, LatentAttention):
        query = attention.query
        first = query if isinstance(query, nn.Linear) else query.down
        return (first, attention.kv_down)  # type: ignore[return-value]
    assert isinstance(attention, Attention)
    qkv = attention.qkv
    return (qkv.fused,) if isinstance(qkv, FusedQKV) else (qkv.q, qkv.k, qkv.v)  # type: ignore[return-value]


def _ffn_readers(ffn: nn.Module) -> tuple[nn.Module, ...]:
    if isinstance(ffn, MixtureOfExperts):
        parts = [*ffn.experts, *([] if ffn.shared is None else [ffn.shared])]
        return (*(r for part in parts for r in _ffn_readers(part)), ffn.router.gate)
    if isinstance(ffn, GatedFeedForward):
        pair = ffn.gate_up
        return (pair.fused,) if isinstance(pair, FusedGateUp) else (pair.gate, pair.up)  # type: ignore[return-value]
    assert isinstance(ffn, PlainFeedForward)
    return (ffn.up,)


def _inner_edges(attention: nn.Module, ffn: nn.Module) -> list[Edge]:
    """Values to the output matrix, and up to down: linear in between, so they can be scaled."""
    edges = []
    if isinstance(attention, Attention):
        value, start = _last_part(attention.qkv)
        group = attention.config.num_heads // attention.config.num_kv_heads
        edges.append(
            Edge(_parameters(value), slice(start, None), (attention.out,), group,
                 attention.config.head_dim)
        )  # fmt: skip
    parts = [ffn]
    if isinstance(ffn, MixtureOfExperts):
        parts = [*ffn.experts, *([] if ffn.shared is None else [ffn.shared])]
    for part in parts:
        if isinstance(part, GatedFeedForward) and part.linear_in_up:
            up, start = _last_part(part.gate_up)
            edges.append(Edge(_parameters(up), slice(start, None), (part.down,)))
    return edges


def _last_part(projections: nn.Module) -> tuple[nn.Module, int]:
    """The linear that makes v or up, and its first row for it."""
    if isinstance(projections, FusedQKV):
        return projections.fused, projections.sizes[0] + projections.sizes[1]
    if isinstance(projections, FusedGateUp):
        return projections.fused, projections.ffn
    return getattr(projections, "v", None) or projections.up, 0  # type: ignore[return-value]


def _parameters(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """Weight and, if there is one, bias."""
    bias = getattr(module, "bias", None)
    return (module.weight,) if bias is None else (module.weight, bias)  # type: ignore[return-value]


def _rescale(edge: Edge, inputs: Tensor, alpha: float) -> None:
    weights = torch.stack([c.weight.abs().amax(0) for c in edge.consumers]).amax(0)
    if edge.group > 1:
        # [K, group, E]: the heads of a group read the same values, so they share s.
        shape = (-1, edge.group, edge.head_dim)
        inputs = inputs.view(shape).amax(1).flatten()
        weights = weights.view(shape).amax(1).flatten()
    scale = inputs.clamp(min=1e-5) ** alpha / weights.clamp(min=1e-5) ** (1 - alpha)
    scale = scale / scale.log().mean().exp()
    for parameter in edge.producers:
        rows = parameter[edge.rows]
        rows.copy_(rows / scale.view(-1, *[1] * (rows.dim() - 1)))
    if edge.group > 1:
        scale = scale.view(-1, 1, edge.head_dim).expand(-1, edge.group, -1).flatten()
    for consumer in edge.consumers:
        consumer.weight.mul_(scale)
