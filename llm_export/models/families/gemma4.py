"""Gemma 4 (text): per-layer embeddings, and upper layers without keys and values of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    LayerInputConfig,
    LayerInputsConfig,
    MoEConfig,
    NormConfig,
    RopeConfig,
    RouterConfig,
)
from llm_export.models.families import expert_names, gguf_gemma4, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import Sizes, activation, decoder, layer_types, read_sizes
from llm_export.models.families.rope_config import rope_config, rope_mapping

_FULL, _SLIDING = "full_attention", "sliding_attention"
_ROPES = {
    _SLIDING: {"rope_type": "default", "rope_theta": 1e4},
    _FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
}


@dataclass(frozen=True)
class _Heads:
    """Heads of the layers of one kind."""

    kv: int
    dim: int


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Gemma4TextConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("gemma4_text", config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    slides = layer_types(c, n.layers, lambda i: bool((i + 1) % 6))
    slides[-1] = False  # as transformers does, whatever the config says
    window = c.count("sliding_window")
    same = c.flag("attention_k_eq_v", before=False)
    heads = _heads(c, n, slides, same)
    bias = c.flag("attention_bias", before=False)
    kind = activation(c, "hidden_activation")
    mixture = _mixture(c, n, norm, kind)
    size = c.take("hidden_size_per_layer_input", before=256) or 0
    table = _table(c, n, size)
    c.expect("use_bidirectional_attention", None, "vision", before=None)  # text stays causal
    sources = _sources(c, n, slides)
    wide = c.flag("use_double_wide_mlp", before=False)

    def layer(i: int) -> LayerConfig:
        own = sources[i] == i
        here = heads[slides[i]]
        attention = AttentionConfig(
            n.heads, here.kv, here.dim, 1.0,
            rope=0 if slides[i] else 1,
            window=window if slides[i] else None,
            qkv_bias=bias, out_bias=bias, qk_norm=norm,
            v_norm=NormConfig(norm.eps, "rms_plain") if own else None,
            values_from_keys=own and same and not slides[i],
            kind="grouped_query" if own else "borrowing",
            lends=i if own and i in sources[i + 1 :] else None,
            borrows=None if own else sources[i],
        )  # fmt: skip
        return LayerConfig(
            attention,
            FeedForwardConfig(n.ffn * (1 if own or not wide else 2), kind),
            norm,
            kind="sandwich_scaled",
            layer_input=LayerInputConfig(size, kind) if size else None,
            mixture=mixture,
        )

    layers = tuple(layer(i) for i in range(n.layers))
    return decoder(
        c, n, layers, ropes=_ropes(c, n, heads), tied=True, embedding_scale=n.hidden**0.5,
        logit_softcap=c.optional("final_logit_softcapping"), layer_inputs=table,
    )  # fmt: skip


def _mixture(c: ConfigReader, n: Sizes, norm: NormConfig, kind: str) -> MoEConfig | None:
    """The experts beside the feed-forward network."""
    if not c.flag("enable_moe_block", before=False):
        c.take_unused("num_experts", "top_k_experts", "moe_intermediate_size")
        return None
    experts, chosen = c.count("num_experts"), c.count("top_k_experts")
    if chosen > experts:
        raise CheckpointError(
            f"top_k_experts={excerpt(chosen)} of {experts} experts", where="model.config"
        )
    router = RouterConfig(
        "softmax", experts, chosen, normalize=True, norm=norm, input_scale=n.hidden**-0.5,
        expert_scale=True,
    )  # fmt: skip
    return MoEConfig(router, FeedForwardConfig(c.count("moe_intermediate_size"), kind))


def _table(c: ConfigReader, n: Sizes, size: int) -> LayerInputsConfig | None:
    rows = c.take("vocab_size_per_layer_input", before=262_144)
    if not size:
        return None
    c.counted("hidden_size_per_layer_input", size)
    if c.counted("vocab_size_per_layer_input", rows) < n.vocab:
        raise CheckpointError(
            f"the table of per-layer embeddings has {rows} rows, fewer than the {n.vocab} tokens",
            where="config key vocab_size_per_layer_input",
        )
    return LayerInputsConfig(rows, n.layers, size)


def _heads(c: ConfigReader, n: Sizes, slides: list[bool], same: bool) -> dict[bool, _Heads]:
    """Whether a layer slides -> its heads. transformers writes ``per_layer_config``; published
    configs have ``global_head_dim`` and ``num_global_key_value_heads``.
    """
    dim = c.counted("global_head_dim", c.take("global_head_dim", before=None) or 512)
    stated = c.take("num_global_key_value_heads", before=None)
    kv = c.counted("num_global_key_value_heads", stated) if same and stated else n.kv_heads
    usual = {True: _Heads(n.kv_heads, n.head_dim), False: _Heads(kv, dim)}
    changes = c.take("per_layer_config", before=None)
    if changes is None:
        return usual
    found: dict[bool, set[_Heads]] = {True: set(), False: set()}
    for index, slide in enumerate(slides):
        own = _changes_of(changes, index)
        found[slide].add(
            _Heads(
                c.counted("num_key_value_heads", own.get("num_key_value_heads") or n.kv_heads),
                c.counted("head_dim", own.get("head_dim") or n.head_dim),
            )
        )
    if any(len(each) > 1 for each in found.values()):
        raise CheckpointError(
            "family 'gemma4_text' needs the same heads in all layers of one layer_type",
            where="config key per_layer_config",
        )
    return {slide: next(iter(each), usual[slide]) for slide, each in found.items()}


def _changes_of(changes: Any, index: int) -> Mapping[str, Any]:
    own: Any = None
    if isinstance(changes, Mapping) and all(str(key).isdecimal() for key in changes):
        # transformers pads the numbers with zeros where there are ten layers or more.
        own = next((value for key, value in changes.items() if int(key) == index), {})
    if not isinstance(own, Mapping) or not set(own) <= {"head_dim", "num_key_value_heads"}:
        raise CheckpointError(
            f"family 'gemma4_text' does not implement per_layer_config of layer {index}: {own!r}",
            where="config key per_layer_config",
            fix="implemented: head_dim and num_key_value_heads, by the number of the layer",
        )
    return own


def _sources(c: ConfigReader, n: Sizes, slides: list[bool]) -> list[int]:
    """For every layer the one whose keys and values it attends to: itself, or the last layer of
    its kind below those that share.
    """
    shared = c.take("num_kv_shared_layers", before=0) or 0
    if not isinstance(shared, int) or not 0 <= shared < n.layers:
        raise CheckpointError(
            f"num_kv_shared_layers={shared!r} of {n.layers} layers",
            where="config key num_kv_shared_layers", fix=f"0 to {n.layers - 1}",
        )  # fmt: skip
    first = n.layers - shared
    last = {slides[i]: i for i in range(first)}
    missing = {slides[i] for i in range(first, n.layers)} - set(last)
    if missing:
        raise CheckpointError(
            f"layers from {first} on share keys and values of a layer of their layer_type, and "
            f"no layer below has {_SLIDING if missing.pop() else _FULL}",
            where="config keys num_kv_shared_layers and layer_types",
        )
    return [i if i < first else last[slides[i]] for i in range(n.layers)]


def _ropes(c: ConfigReader, n: Sizes, heads: Mapping[bool, _Heads]) -> tuple[RopeConfig, ...]:
    """RoPE of sliding-window layers, then of full-attention layers."""
    stated = c.take("rope_parameters", before=None)
    stated = _ROPES if stated is None else stated
    if not isinstance(stated, Mapping) or not set(stated) <= set(_ROPES):
        raise CheckpointError(
            f"family 'gemma4_text' needs a RoPE for {_SLIDING} and for {_FULL}, got {stated!r}",
            where="config key rope_parameters",
        )
    found = []
    for kind, usual in _ROPES.items():
        facts = rope_mapping(stated.get(kind, usual), None)
        if facts.get("rope_type", "default") == "default":
            facts.pop("partial_rotary_factor", None)  # transformers ignores it there
        found.append(rope_config(c.family, facts, heads[kind == _SLIDING].dim, n.positions))
    return tuple(found)


_SHARED = re.compile(
    r"(?:model\.layers|blk)\.(\d+)\.(self_attn\.(k_proj|v_proj|k_norm|v_norm)|attn_(k|v|k_norm))\.\w+"
)


def _unused(name: str, config: DecoderConfig) -> bool:
    """Checkpoints may hold keys' and values' projections of layers that do not use them."""
    found = _SHARED.fullmatch(name)
    if found is None or int(found[1]) >= config.num_layers:
        return False
    return config.attentions[int(found[1])].borrows is not None


_L, _D = hf_names.L, hf_names.D
_PER_LAYER = [
    ("model.embed_tokens_per_layer.weight", "layer_inputs.table.weight"),
    ("model.per_layer_model_projection.weight", "layer_inputs.projection.weight"),
    ("model.per_layer_projection_norm.weight", "layer_inputs.norm.weight"),
    (f"{_L}.per_layer_input_gate.weight", f"{_D}.layer_input.gate.weight"),
    (f"{_L}.per_layer_projection.weight", f"{_D}.layer_input.out.weight"),
    (f"{_L}.post_per_layer_input_norm.weight", f"{_D}.layer_input.norm.weight"),
    (f"{_L}.layer_scalar", f"{_D}.scale"),
]
_MIXTURE = [
    (f"{_L}.router.proj.weight", f"{_D}.mixture.router.gate.weight"),
    (f"{_L}.router.scale", f"{_D}.mixture.router.norm.weight"),
    (f"{_L}.router.per_expert_scale", f"{_D}.mixture.router.expert_scale"),
    (f"{_L}.post_feedforward_layernorm_1.weight", f"{_D}.dense_post_norm.weight"),
    (f"{_L}.pre_feedforward_layernorm_2.weight", f"{_D}.mixture_norm.weight"),
    (f"{_L}.post_feedforward_layernorm_2.weight", f"{_D}.mixture_post_norm.weight"),
]

FAMILY = Family(
    name="gemma4_text",
    architecture="Gemma4ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.EMBED
            + hf_names.ATTENTION
            + hf_names.QK_NORM
            + hf_names.SANDWICH_NORM
            + hf_names.GATED
            + hf_names.HEAD
            + _PER_LAYER
            + _MIXTURE,
            splits=expert_names.stacked(
                "experts.gate_up_proj", "experts.down_proj", mixture=f"{_D}.mixture"
            ),
        ),
        "gguf": gguf_gemma4.NAMES,
    },
    config_from={"gguf": gguf_gemma4.gemma4},
    tiny={
        "vocab_size": 320, "vocab_size_per_layer_input": 320, "hidden_size": 64,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 16, "global_head_dim": 32, "intermediate_size": 96, "sliding_window": 8,
        "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 2, "per_layer_config": None,
        "layer_types": [_SLIDING, _FULL, _SLIDING, _FULL], "num_experts": 4, "top_k_experts": 2,
        "moe_intermediate_size": 48,
    },
    ignored=_unused,
)  # fmt: skip
