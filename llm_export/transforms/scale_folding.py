"""Producers and consumers of a model's vectors, into which scales and rotations are folded.

A linear computes W x. A change of x can be undone in the columns of W and applied, without
run-time cost, in the producer of x: the gain of a norm, or the rows of another linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.config.name_patterns import matches_name
from llm_export.errors import RecipeError
from llm_export.models.components.attention import Attention, FusedQKV
from llm_export.models.components.borrowing_attention import BorrowingAttention
from llm_export.models.components.feed_forward import (
    FusedGateUp,
    GatedFeedForward,
    PlainFeedForward,
)
from llm_export.models.components.latent_attention import LatentAttention
from llm_export.models.components.mixers.state import Mixer
from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.components.run_time_rotation import RotatedNorm
from llm_export.models.contract import TextReader
from llm_export.models.decoder import Decoder

_ALL = slice(None)


@dataclass(frozen=True)
class FoldingPair:
    """A vector that ``rows`` of ``producers`` compute and ``consumers`` read.

    Attributes:
        producers: parameters whose first dimension is the vector's (norm weights, rows of a
            matrix, its bias).
        rows: the slice of the first dimension.
        consumers: matrices that read the vector with their columns.
        group: query heads that share one key/value head, for the vector of values; else 1.
        head_dim: E, where group is not 1.
    """

    producers: tuple[nn.Parameter, ...]
    rows: slice
    consumers: tuple[nn.Module, ...]
    group: int = 1
    head_dim: int = 1

    def by_head(self, columns: Tensor) -> Tensor:
        """One number per column of the consumers -> [K, group, E]. Heads of a group read the same
        values, so a reduction over dimension 1 gives one number per row of the producers.
        """
        return columns.view(-1, self.group, self.head_dim if self.group > 1 else 1)

    def columns(self, scale: Tensor) -> Tensor:
        """One number per row of the producers -> one per column of the consumers."""
        if self.group == 1:
            return scale
        return scale.view(-1, 1, self.head_dim).expand(-1, self.group, -1).flatten()

    @torch.no_grad()
    def fold(self, scale: Tensor) -> None:
        """Divide the vector by ``scale`` (one number per row), and multiply the consumers' columns
        by it.
        """
        for parameter in self.producers:
            rows = parameter[self.rows]
            rows.copy_(rows / scale.view(-1, *[1] * (rows.dim() - 1)))
        for consumer in self.consumers:
            consumer.weight.mul_(self.columns(scale))  # type: ignore[operator]


def folding_pairs(model: TextReader) -> list[FoldingPair]:
    """All pairs, layer by layer in execution order, a decoder's output head last."""
    found = [edge for layer in model.layer_chain() for edge in layer_folding_pairs(layer)]
    if isinstance(model, Decoder) and not isinstance(model.norm, RotatedNorm):
        found.append(head_folding_pair(model))
    return found


def layer_folding_pairs(layer: nn.Module) -> list[FoldingPair]:
    """Pairs of a layer: norms and their readers, values and output projection, up and down."""
    norms = [FoldingPair(_parameters(norm), _ALL, readers) for norm, readers in norm_readers(layer)]
    return norms + _inner_folding_pairs(layer.attention, layer.feed_forward)  # type: ignore[arg-type]


def head_folding_pair(model: Decoder) -> FoldingPair:
    """The last norm and the output head."""
    return FoldingPair(_parameters(model.norm), _ALL, (model.head,))


def norm_readers(layer: nn.Module) -> list[tuple[nn.Module, tuple[nn.Module, ...]]]:
    """The norms of a block that feed linears, each with its readers."""
    reads = {"attention_norm": _mixing_readers(layer)}
    # In a parallel block one norm feeds both.
    norm = "ffn_norm" if hasattr(layer, "ffn_norm") else "attention_norm"
    reads[norm] = (*reads.get(norm, ()), *_ffn_readers(layer.feed_forward))  # type: ignore[arg-type]
    return [(getattr(layer, n), readers) for n, readers in reads.items() if hasattr(layer, n)]


def writers(layer: nn.Module) -> tuple[nn.Module, ...]:
    """The linears whose outputs a block adds to the residual stream."""
    attention, mixer, feed_forward = layer.attention, layer.mixer, layer.feed_forward
    mixing = [] if attention is None else [attention.get_submodule("out")]  # type: ignore[union-attr]
    mixing += mixer.writers() if isinstance(mixer, Mixer) else ()
    return (*mixing, *_ffn_writers(feed_forward))  # type: ignore[arg-type]


def value_rows(attention: nn.Module) -> tuple[nn.Module, slice]:
    """The linear that computes the values, and its rows for them."""
    linear, start = _last_part(attention.qkv)  # type: ignore[arg-type]
    return linear, slice(start, None)


def untie(model: Decoder) -> None:
    """Give an output head that shares the embedding's weight a copy of its own."""
    if model.head.weight is model.embed.weight:
        model.head.weight = nn.Parameter(model.head.weight.clone(), requires_grad=False)


def matching(
    model: TextReader, pattern: str, key: str, *, with_head: bool = True
) -> list[tuple[str, FoldingPair]]:
    """(name of the first consumer, pair) for pairs whose linears all match.

    Args:
        key: where the pattern was stated.
        with_head: whether to include the output head, which unties it from the embedding.

    Raises:
        RecipeError: nothing matches.
    """
    names = {module: name for name, module in model.named_modules()}
    chosen = []
    for edge in folding_pairs(model):
        if not with_head and isinstance(model, Decoder) and model.head in edge.consumers:
            continue
        linears = [names[c] for c in edge.consumers if isinstance(c, nn.Linear)]
        if all(matches_name(pattern, name) for name in linears):
            chosen.append((names[edge.consumers[0]], edge))
    if not chosen:
        raise RecipeError(
            f"the pattern {pattern} matches no linear whose inputs can be scaled", where=key,
            fix="names are those of the quantization report, such as layers.0.feed_forward.down",
        )  # fmt: skip
    return chosen


def _mixing_readers(layer: nn.Module) -> tuple[nn.Module, ...]:
    """The linears of attention and of another mixer that read the block's normed input."""
    attention, mixer = layer.attention, layer.mixer
    first = () if attention is None else _attention_readers(attention)  # type: ignore[arg-type]
    return (*first, *(mixer.readers() if isinstance(mixer, Mixer) else ()))


def _attention_readers(attention: nn.Module) -> tuple[nn.Module, ...]:
    """The linears that read the block's normed input."""
    if isinstance(attention, LatentAttention):
        query = attention.query
        first = query if isinstance(query, nn.Linear) else query.down
        return (first, attention.kv_down)  # type: ignore[return-value]
    assert isinstance(attention, Attention | BorrowingAttention)
    # One fused linear, or those of q, k and v that the layer has.
    read = [m for m in attention.qkv.children() if isinstance(m, nn.Linear)]
    gate = getattr(attention, "gate", None)
    return (*read, *([] if gate is None else [gate]))


def _ffn_readers(ffn: nn.Module | None) -> tuple[nn.Module, ...]:
    if ffn is None:
        return ()
    if isinstance(ffn, MixtureOfExperts):
        experts = _expert_readers(ffn) if ffn.latent is None else (ffn.latent.down,)
        beside = (*_ffn_readers(ffn.shared), ffn.router.gate)
        return (*experts, *beside, *([] if ffn.shared_gate is None else [ffn.shared_gate]))
    if isinstance(ffn, GatedFeedForward):
        pair = ffn.gate_up
        return (pair.fused,) if isinstance(pair, FusedGateUp) else (pair.gate, pair.up)  # type: ignore[return-value]
    assert isinstance(ffn, PlainFeedForward)
    return (ffn.up,)


def _expert_readers(mixture: MixtureOfExperts) -> tuple[nn.Module, ...]:
    return tuple(reader for expert in mixture.experts for reader in _ffn_readers(expert))


def _ffn_writers(ffn: nn.Module | None) -> tuple[nn.Module, ...]:
    """The linears whose outputs add up to the network's."""
    if isinstance(ffn, MixtureOfExperts) and ffn.latent is not None:
        return (ffn.latent.up, *_ffn_writers(ffn.shared))
    return tuple(part.get_submodule("down") for part in _parts(ffn))


def _parts(ffn: nn.Module | None) -> Sequence[nn.Module]:
    """The feed-forward networks of a layer: none, one, or all experts."""
    if ffn is None:
        return []
    if isinstance(ffn, MixtureOfExperts):
        return [*ffn.experts, *([] if ffn.shared is None else [ffn.shared])]
    return [ffn]


def _inner_folding_pairs(attention: nn.Module | None, ffn: nn.Module | None) -> list[FoldingPair]:
    """What the last linears of both sublayers read: the gain of the norm before them, or else
    values and rows of up, since everything in between is linear in these; a gate of attention
    commutes with scales.
    """
    found = []
    if isinstance(attention, Attention) and attention.out_norm is not None:
        found.append(FoldingPair(_parameters(attention.out_norm), _ALL, (attention.out,)))
    elif isinstance(attention, Attention) and attention.v_norm is None:
        value, rows = value_rows(attention)
        group = attention.config.num_heads // attention.config.num_kv_heads
        head_dim = attention.config.head_dim
        found.append(FoldingPair(_parameters(value), rows, (attention.out,), group, head_dim))
    if isinstance(ffn, MixtureOfExperts) and ffn.latent is not None:
        found.append(FoldingPair(_parameters(ffn.latent.down), _ALL, _expert_readers(ffn)))
    for part in _parts(ffn):
        assert isinstance(part, GatedFeedForward | PlainFeedForward)
        if part.rotation is not None:
            continue  # mixes the channels
        if part.inner_norm is not None:
            found.append(FoldingPair(_parameters(part.inner_norm), _ALL, (part.down,)))
        elif isinstance(part, GatedFeedForward) and part.linear_in_up:
            up, start = _last_part(part.gate_up)
            found.append(FoldingPair(_parameters(up), slice(start, None), (part.down,)))
    return found


def _last_part(projections: nn.Module) -> tuple[nn.Module, int]:
    """The linear that computes v or up, and its first row for it."""
    if isinstance(projections, FusedQKV):
        return projections.fused, projections.sizes[0] + projections.sizes[1]
    if isinstance(projections, FusedGateUp):
        return projections.fused, projections.ffn
    return getattr(projections, "v", None) or projections.up, 0  # type: ignore[return-value]


def _parameters(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """Weight and, if there is one, bias."""
    bias = getattr(module, "bias", None)
    return (module.weight,) if bias is None else (module.weight, bias)  # type: ignore[return-value]
