"""Decoder config, independent of any checkpoint's key names.

A ``kind`` names an entry of the component's registry (``components/registry.py``).

Shape legend used across ``llm_export.models``: B batch, S tokens in this step, T cache slots
(context length), D hidden size, H query heads, K key/value heads, E head size, F feed-forward
size, X experts, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.models.mixer_config import (
    BLOCK_STEP,
    GatedDeltaConfig,
    Mamba2Config,
    MixerConfig,
    ShortConvConfig,
)
from llm_export.models.norm_config import NormConfig

__all__ = [
    "AttentionConfig", "DecoderConfig", "FeedForwardConfig", "GatedDeltaConfig", "LatentConfig",
    "LayerConfig", "LayerInputConfig", "LayerInputsConfig", "Mamba2Config", "MixerConfig",
    "MoEConfig", "NormConfig", "QueryScale", "RopeConfig", "RouterConfig", "ShortConvConfig",
]  # fmt: skip


STREAMS = 3
"""Positions of a token under M-RoPE: in time, and the row and column in an image."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (RoFormer, arXiv:2104.09864).

    Attributes:
        theta: the base.
        dim: number of channels of a head that are rotated; the rest is unchanged.
        scaling: a name from ``components.rope_scaling``.
        args: all parameters of that scaling.
        streams: where a token has ``STREAMS`` positions (M-RoPE, arXiv:2409.12191), the one that
            each of the dim/2 frequencies turns by; empty: a token has one.
    """

    theta: float
    dim: int
    scaling: str = "none"
    args: dict[str, float | tuple[float, ...]] = field(default_factory=dict)
    streams: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.streams and len(self.streams) != self.dim // 2:
            raise ValueError(
                f"{len(self.streams)} frequencies are assigned to position streams, and "
                f"{self.dim} rotated channels have {self.dim // 2}"
            )
        if self.dim % 2 or self.dim < 2:
            raise ValueError(f"{self.dim} channels cannot be rotated in pairs")
        for key, value in {"rope_theta": self.theta, **self.args}.items():
            if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
                raise ValueError(f"{key}={value} is not a finite number")


@dataclass(frozen=True)
class LatentConfig:
    """Ranks and head sizes of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""

    query_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int


@dataclass(frozen=True)
class AttentionConfig:
    """One layer's attention.

    Attributes:
        scale: factor on q.k.
        rope: index into ``DecoderConfig.ropes``; None for layers without RoPE.
        window: a token attends to itself and the ``window - 1`` before it; None is all.
        softcap: scores become ``softcap * tanh(score / softcap)``.
        qk_norm: norm of queries and keys, over each head or over all of them.
        qk_norm_after_rope: whether it follows RoPE instead of preceding it.
        out_norm: norm of what all heads attended to, before the output projection.
        sinks: a learned logit per head that takes part in the softmax and has no value.
        latent: config for kind "latent".
        gate: the heads' outputs are multiplied by the sigmoid of another projection of the input,
            with a factor for each "channel" or one for each "head"; None: they are not.
        gate_bias: whether that projection has a bias.
        v_norm: norm of each head's values.
        values_from_keys: the values are the keys' projection, before norm and RoPE.
        lends: number of this layer, if later layers attend to its keys and values.
        borrows: number of the layer whose keys and values a layer of kind "borrowing" attends
            to. It has none of its own, and the same heads and window as that layer.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    rope: int | None = 0
    qkv_bias: bool = False
    out_bias: bool = False
    window: int | None = None
    softcap: float | None = None
    qk_norm: NormConfig | None = None
    qk_norm_over: str = "head"
    qk_norm_after_rope: bool = False
    out_norm: NormConfig | None = None
    sinks: bool = False
    latent: LatentConfig | None = None
    gate: str | None = None
    gate_bias: bool = False
    kind: str = "grouped_query"
    v_norm: NormConfig | None = None
    values_from_keys: bool = False
    lends: int | None = None
    borrows: int | None = None

    @property
    def gate_size(self) -> int:
        """Outputs of the gate's projection."""
        per_head = {None: 0, "head": 1, "channel": self.head_dim}
        return self.num_heads * per_head[self.gate]

    @property
    def shares_values(self) -> bool:
        """Whether its values are another layer's too, or come from the same rows as its keys."""
        return self.values_from_keys or self.lends is not None or self.borrows is not None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_attention_heads={self.num_heads} is not a multiple of "
                f"num_key_value_heads={self.num_kv_heads}"
            )


LEARNED_ACTIVATIONS: Mapping[str, int] = {"xielu": 4}
"""Activations with parameters of their own -> how many; of feed-forwards of kind "plain"."""


@dataclass(frozen=True)
class FeedForwardConfig:
    """Attributes:
    kind: gated (two linears in, one out) or plain (one in, one out).
    activation: a name from ``components.feed_forward``; of those in ``LEARNED_ACTIVATIONS`` each
        layer has parameters.
    inner_norm: norm of the activated features, before the last linear.
    scales: factors on the gate and on the output, which checkpoints leave out of the weights,
        and reading folds in.
    """

    size: int
    activation: str
    bias: bool = False
    kind: str = "gated"
    inner_norm: NormConfig | None = None
    scales: tuple[float, float] | None = None


@dataclass(frozen=True)
class RouterConfig:
    """How a token's experts are selected and weighted.

    Attributes:
        kind: softmax (over all, then top-k), best_softmax (over the top-k only), sigmoid.
        normalize: whether the weights of the selected experts sum to one.
        scaling: factor on all weights.
        groups, groups_per_token: experts are selected only from the best groups.
        bias: whether the router's linear has a bias.
        eps: added to the sum by which the weights are divided, for kind "sigmoid".
        floor: the least sum by which the weights are divided, for kind "softmax".
        correction: whether a learned bias per expert is added to the scores to select by, and not
            to the weights; for kinds "softmax" and "sigmoid".
        norm: norm of the router's input, for a router that does not share its experts'.
        input_scale: factor on that input.
        expert_scale: whether each expert has a learned factor on its weights.
    """

    kind: str
    experts: int
    per_token: int
    normalize: bool
    scaling: float = 1.0
    groups: int = 1
    groups_per_token: int = 1
    bias: bool = False
    eps: float = 1e-20
    floor: float = 0.0
    correction: bool = False
    norm: NormConfig | None = None
    input_scale: float = 1.0
    expert_scale: bool = False


@dataclass(frozen=True)
class MoEConfig:
    """Mixture of experts.

    Attributes:
        expert: the shape of each expert.
        shared: a network that runs for every token.
        shared_gate: whether its output is multiplied by the sigmoid of a projection of the input
            to one number per token.
        latent: channels to which the input of the experts is projected, and from which their sum
            is projected back; None: they read and write the hidden size.
        latent_bias: whether these projections have a bias.
    """

    router: RouterConfig
    expert: FeedForwardConfig
    shared: FeedForwardConfig | None = None
    shared_gate: bool = False
    latent: int | None = None
    latent_bias: bool = False
    kind: str = "moe"


_NORMS = {
    "pre": (("attention_norm",), ("ffn_norm",)),
    "post": (("attention_post_norm",), ("ffn_post_norm",)),
    "sandwich": (("attention_norm", "attention_post_norm"), ("ffn_norm", "ffn_post_norm")),
    "sandwich_scaled": (
        ("attention_norm", "attention_post_norm"),
        ("ffn_norm", "ffn_post_norm"),
    ),
    "parallel": (("attention_norm",), ()),
    "post_sum": (("attention_post_norm",), ("ffn_post_norm",)),
    "pre_first": ((), ("ffn_norm",)),
}
"""Block -> its norms around token mixing, and around the feed-forward network."""

_MIXTURE_NORMS = ("dense_post_norm", "mixture_norm", "mixture_post_norm")
"""The norms of a block with a mixture of experts beside its feed-forward network."""


@dataclass(frozen=True)
class LayerInputConfig:
    """A layer's part of the per-layer embeddings; see ``components.layer_inputs``.

    Attributes:
        size: channels per layer, P.
        activation: of the gate.
    """

    size: int
    activation: str


@dataclass(frozen=True)
class LayerInputsConfig:
    """The table of the per-layer embeddings: ``vocab_size`` rows of ``layers * size`` channels."""

    vocab_size: int
    layers: int
    size: int


@dataclass(frozen=True)
class LayerConfig:
    """A layer mixes tokens (by attention, by another mixer, or by the sum of both), then applies a
    feed-forward network; either may be missing.

    Attributes:
        kind: the placement of norms and residual sums: see ``components.block``.
        attention_scale, mixer_scale: factors on the outputs of the two, where they are added.
        attention_in, mixer_in: factors on their inputs.
        residual_scale: factor on what a sublayer adds.
        layer_input: an input of this layer beside the residual stream, per token.
        mixture: experts beside the feed-forward network, with norms of their own, in a block of
            kind "sandwich_scaled".
        addition: which of the step's additions is added to this layer's output.
    """

    attention: AttentionConfig | None
    feed_forward: FeedForwardConfig | MoEConfig | None
    norm: NormConfig
    kind: str = "pre"
    residual_scale: float = 1.0
    mixer: MixerConfig | None = None
    attention_in: float = 1.0
    attention_scale: float = 1.0
    mixer_in: float = 1.0
    mixer_scale: float = 1.0
    layer_input: LayerInputConfig | None = None
    mixture: MoEConfig | None = None
    addition: int | None = None

    @property
    def keeps(self) -> bool:
        """Whether it keeps something of a position for later ones, in a cache or a state."""
        attends = self.attention is not None and self.attention.borrows is None
        return attends or self.mixer is not None

    @property
    def norms(self) -> tuple[str, ...]:
        """Names of the block's norms, in order of use."""
        mixing, feeding = _NORMS[self.kind]
        mixes = self.attention is not None or self.mixer is not None
        found = (*(mixing if mixes else ()), *(feeding if self.feed_forward is not None else ()))
        return found if self.mixture is None else (*found, *_MIXTURE_NORMS)

    @property
    def mixtures(self) -> tuple[MoEConfig, ...]:
        """Its mixtures of experts."""
        parts = (self.feed_forward, self.mixture)
        return tuple(part for part in parts if isinstance(part, MoEConfig))


@dataclass(frozen=True)
class QueryScale:
    """Queries grow with their position p, in steps: 1 + beta * log(1 + floor(p / period)).

    The temperature of Llama 4's attention, against scores that fade over long contexts.
    """

    beta: float
    period: int

    def changes(self, context_length: int) -> bool:
        """Whether any of the first ``context_length`` positions has a factor other than 1."""
        return self.beta != 0 and context_length > self.period


@dataclass(frozen=True)
class DecoderConfig:
    """The result of a family's ``from_hf``.

    Attributes:
        embedding_scale: factor on token embeddings.
        query_scale: factor on the queries of all layers, by position.
        logit_scale: factor on logits, before the soft cap.
        layer_inputs: the table of the per-layer embeddings, for models that have them.
    """

    family: str
    vocab_size: int
    hidden_size: int
    max_positions: int
    tied_embeddings: bool
    layers: tuple[LayerConfig, ...]
    ropes: tuple[RopeConfig, ...]
    norm: NormConfig
    embedding_scale: float = 1.0
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    head_bias: bool = False
    query_scale: QueryScale | None = None
    layer_inputs: LayerInputsConfig | None = None

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def keeping_layers(self) -> int:
        """Number of layers up to the last one that keeps something. The layers after it serve
        only the logits of the positions that they run for.
        """
        return max((i + 1 for i, layer in enumerate(self.layers) if layer.keeps), default=0)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The distinct attention windows, in order of first use; full if there is no attention."""
        return tuple(dict.fromkeys(a.window for a in self.attentions)) or (None,)

    @property
    def attentions(self) -> tuple[AttentionConfig, ...]:
        """Attention of the layers that have it."""
        found = (layer.attention for layer in self.layers)
        return tuple(attention for attention in found if attention is not None)

    @property
    def usual_step(self) -> int | None:
        """The longest step that pays; None: any."""
        return BLOCK_STEP if any(m.in_blocks for m in self.mixers) else None

    @property
    def mixers(self) -> tuple[MixerConfig, ...]:
        """Other mixers of the layers that have one."""
        found = (layer.mixer for layer in self.layers)
        return tuple(mixer for mixer in found if mixer is not None)
