"""Compute the weight shapes, parameter counts and KV cache sizes of a decoder from its config.

Names are module names as matched by quantization rules, after projection fusion. No model is
built on the meta device, because ``validate --quick`` prints the estimate without importing torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from llm_export.config.quant_schema import ModuleKind, RotateConfig
from llm_export.models.config import (
    LEARNED_ACTIVATIONS,
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
)
from llm_export.predict.matrix import Matrix, linear

_FACTORS = {"sandwich_scaled": 1}
"""Learned factors on the residual stream, by the block's kind."""


@dataclass(frozen=True)
class ModelShapes:
    """A model without its values.

    Attributes:
        matrices: in the order of the model's modules.
        other: parameters that are not in a matrix: norms, biases, routers.
        tables: values of the tables of RoPE and of the queries' factors, and of run-time rotations.
    """

    matrices: tuple[Matrix, ...]
    other: int
    tables: int
    vocab_size: int
    tied: bool

    @property
    def parameters(self) -> int:
        """A tied matrix counts once."""
        head = sum(m.count for m in self.matrices if m.kind is ModuleKind.head) if self.tied else 0
        return sum(m.count for m in self.matrices) + self.other - head


@dataclass(frozen=True)
class DecoderShapes(ModelShapes):
    """A decoder of the fast tier without its values.

    Attributes:
        cached: keys and values that one position has in each layer.
        states: values of each layer's recurrent state.
        kinds: which layers are alike: equal for those that differ in values alone.
    """

    cached: tuple[int, ...]
    states: tuple[int, ...]
    kinds: tuple[LayerConfig, ...]

    @property
    def layers(self) -> int:
        return len(self.kinds)


def with_rotations(
    shapes: DecoderShapes, config: DecoderConfig, asked: RotateConfig | None, *, tied: bool
) -> DecoderShapes:
    """With what ``transforms.rotate`` adds to the program.

    Args:
        tied: whether a rotated model still is.
    """
    if asked is None:
        return shapes
    before_head = config.hidden_size**2 if asked.r1 and tied else 0
    before_down = (asked.r4 or 0) ** 2  # one for all layers
    return replace(shapes, tables=shapes.tables + before_head + before_down, tied=tied)


def with_parts(shapes: DecoderShapes, rows: int) -> DecoderShapes:
    """With the first rows of the head, and of a tied embedding, as matrices of their own."""
    if not rows:
        return shapes
    split = ("embed", "head") if shapes.tied else ("head",)
    matrices: list[Matrix] = []
    for one in shapes.matrices:
        if one.name in split:
            parts = (("first", rows), ("rest", one.rows - rows))
            matrices += [replace(one, name=f"{one.name}.{n}", rows=count) for n, count in parts]
        else:
            matrices.append(one)
    return replace(shapes, matrices=tuple(matrices))


def shapes_of_decoder(config: DecoderConfig, context_length: int, fused: bool) -> DecoderShapes:
    """Args:
    fused: whether projections of one input are one matrix.
    """
    hidden, vocab = config.hidden_size, config.vocab_size
    matrices = [Matrix("embed", ModuleKind.embedding, vocab, hidden)]
    other = 0
    if config.layer_inputs is not None:
        beside = config.layer_inputs
        width = beside.layers * beside.size
        table = Matrix("layer_inputs.table", ModuleKind.embedding, beside.vocab_size, width)
        matrices += [table, linear("layer_inputs.projection", width, hidden)]
        other += _norm(beside.size, config.norm)
    for index, layer in enumerate(config.layers):
        place = f"layers.{index}"
        if layer.attention is not None:
            matrices += _attention(f"{place}.attention", hidden, layer.attention, fused)
            other += _beside_attention(hidden, layer.attention)
        if layer.mixer is not None:
            mixer = layer.mixer.shapes(hidden)
            matrices += [
                linear(f"{place}.mixer.{one.name}", one.rows, one.columns, one.bias)
                for one in mixer.linears
            ]
            other += mixer.other
        if layer.feed_forward is not None:
            matrices += _feed_forward(f"{place}.feed_forward", hidden, layer.feed_forward, fused)
            other += _within_feed_forward(layer.feed_forward)
        other += len(layer.norms) * _norm(hidden, layer.norm) + _FACTORS.get(layer.kind, 0)
        if layer.layer_input is not None:
            matrices.append(linear(f"{place}.layer_input.gate", layer.layer_input.size, hidden))
            matrices.append(linear(f"{place}.layer_input.out", hidden, layer.layer_input.size))
            other += _norm(hidden, layer.norm)
        if layer.mixture is not None:
            matrices += _feed_forward(f"{place}.mixture", hidden, layer.mixture, fused)
            other += _within_feed_forward(layer.mixture)
        other += sum(_router(hidden, mixture) for mixture in layer.mixtures)
    scale = config.query_scale
    scaled = int(scale is not None and scale.changes(context_length))
    matrices.append(Matrix("head", ModuleKind.head, vocab, hidden, config.head_bias))
    other += _norm(hidden, config.norm) + sum(m.rows for m in matrices if m.bias)
    return DecoderShapes(
        tuple(matrices),
        other,
        tables=(2 * sum(rope.dim for rope in config.ropes) + scaled) * context_length,
        vocab_size=vocab,
        tied=config.tied_embeddings,
        cached=tuple(_cached(layer.attention) for layer in config.layers),
        states=tuple(
            0 if layer.mixer is None else layer.mixer.shapes(hidden).state
            for layer in config.layers
        ),
        kinds=config.layers,
    )


def _attention(
    place: str, hidden: int, config: AttentionConfig, fused: bool
) -> Iterator[Matrix]:  # fmt: skip
    heads, latent = config.num_heads, config.latent
    if latent is not None:
        size = heads * (latent.nope_dim + latent.rope_dim)
        if latent.query_rank is None:
            yield linear(f"{place}.query", size, hidden)
        else:
            rank = latent.query_rank
            yield linear(f"{place}.query.down", rank, hidden, config.qkv_bias)
            yield linear(f"{place}.query.up", size, rank)
        down = latent.kv_rank + latent.rope_dim
        yield linear(f"{place}.kv_down", down, hidden, config.qkv_bias)
        yield linear(f"{place}.out", hidden, heads * latent.value_dim, config.out_bias)
        return
    queries, keys = heads * config.head_dim, config.num_kv_heads * config.head_dim
    if config.borrows is not None:
        yield linear(f"{place}.qkv.q", queries, hidden, config.qkv_bias)
    elif config.values_from_keys:
        for name, rows in (("q", queries), ("k", keys)):
            yield linear(f"{place}.qkv.{name}", rows, hidden, config.qkv_bias)
    elif fused:
        yield linear(f"{place}.qkv.fused", queries + 2 * keys, hidden, config.qkv_bias)
    else:
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield linear(f"{place}.qkv.{name}", rows, hidden, config.qkv_bias)
    if config.gate is not None:
        yield linear(f"{place}.gate", config.gate_size, hidden, config.gate_bias)
    yield linear(f"{place}.out", hidden, queries, config.out_bias)


def _feed_forward(
    place: str, hidden: int, config: FeedForwardConfig | MoEConfig, fused: bool
) -> Iterator[Matrix]:
    if isinstance(config, MoEConfig):
        latent, bias = config.latent, config.latent_bias
        if latent is not None:
            yield linear(f"{place}.latent.down", latent, hidden, bias)
            yield linear(f"{place}.latent.up", hidden, latent, bias)
        width = hidden if latent is None else latent
        for number in range(config.router.experts):
            yield from _feed_forward(f"{place}.experts.{number}", width, config.expert, fused)
        if config.shared is not None:
            yield from _feed_forward(f"{place}.shared", hidden, config.shared, fused)
        return
    size, bias = config.size, config.bias
    if config.kind == "plain":
        yield linear(f"{place}.up", size, hidden, bias)
    elif fused:
        yield linear(f"{place}.gate_up.fused", 2 * size, hidden, bias)
    else:
        for name in ("gate", "up"):
            yield linear(f"{place}.gate_up.{name}", size, hidden, bias)
    yield linear(f"{place}.down", hidden, size, bias)


def _norm(size: int, config: NormConfig) -> int:
    return size * (2 if config.bias else 1)


def _beside_attention(hidden: int, config: AttentionConfig) -> int:
    """Norms of queries, keys and outputs, sinks, and the absorbed matrices of latent attention."""
    count = config.num_heads if config.sinks else 0
    if config.out_norm is not None:
        count += _norm(config.num_heads * config.head_dim, config.out_norm)
    if config.qk_norm is not None:
        heads = (config.num_heads, 0 if config.borrows is not None else config.num_kv_heads)
        sizes = [min(n, 1) if config.qk_norm_over == "head" else n for n in heads]
        count += sum(_norm(n * config.head_dim, config.qk_norm) for n in sizes)
    latent = config.latent
    if latent is not None:
        count += latent.kv_rank + (latent.query_rank or 0)
        count += config.num_heads * latent.kv_rank * (latent.nope_dim + latent.value_dim)
    return count


def _within_feed_forward(config: FeedForwardConfig | MoEConfig) -> int:
    """Norms before the last linears, and parameters of activations."""
    if isinstance(config, MoEConfig):
        shared = 0 if config.shared is None else _within_feed_forward(config.shared)
        return config.router.experts * _within_feed_forward(config.expert) + shared
    norm = 0 if config.inner_norm is None else _norm(config.size, config.inner_norm)
    return norm + LEARNED_ACTIVATIONS.get(config.activation, 0)


def _router(hidden: int, config: MoEConfig) -> int:
    router = config.router
    per_expert = (router.bias, router.correction, router.expert_scale)
    norm = 0 if router.norm is None else _norm(hidden, router.norm)
    beside = hidden if config.shared_gate else 0
    return router.experts * (hidden + sum(per_expert)) + norm + beside


def _cached(config: AttentionConfig | None) -> int:
    if config is None:
        return 0
    latent = config.latent
    if latent is not None:
        return latent.kv_rank + latent.rope_dim
    if config.borrows is not None:
        return 0
    return 2 * config.num_kv_heads * config.head_dim
