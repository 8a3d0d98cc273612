"""DeepSeek V2 and V3: multi-head latent attention and grouped mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LatentConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import expert_names, gguf_deepseek, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Shape, Split
from llm_export.models.families.layers import activation
from llm_export.models.families.rope_config import read_rope, rope_mapping, yarn_mscale
from llm_export.models.families.sparse_layers import (
    ONE_GROUP,
    after_dense,
    corrected_router,
)

if TYPE_CHECKING:
    from torch import Tensor

# Settings of training parallelism and losses, and sizes implied by others.
_NO_EFFECT = (
    "pretraining_tp",
    "aux_loss_alpha",
    "ep_size",
    "seq_aux",
    "head_dim",
    "qk_head_dim",
    "num_local_experts",
)


def v2_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``DeepseekV2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("deepseek_v2", config)
    c.expect("scoring_func", "softmax", before="softmax")
    c.expect("norm_topk_prob", False, before=False)
    c.expect("mlp_bias", False, before=False)
    method = c.expect("topk_method", "greedy", "group_limited_greedy")
    groups, kept = c.take("n_group", before=None), c.take("topk_group", before=None)
    grouped = method == "group_limited_greedy"
    router = RouterConfig(
        "softmax", c.count("n_routed_experts"), c.count("num_experts_per_tok"), normalize=False,
        scaling=c.number("routed_scaling_factor"),
        groups=groups if grouped else 1, groups_per_token=kept if grouped else 1,
    )  # fmt: skip
    return _decoder(c, router)


def v3_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``DeepseekV3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("deepseek_v3", config)
    c.expect("scoring_func", "sigmoid", before="sigmoid")
    c.expect("topk_method", "noaux_tc", before="noaux_tc")
    c.expect("rope_interleave", True, before=True)
    # Layers for multi-token prediction are used only in training and for speculative decoding.
    c.take_unused("num_nextn_predict_layers")
    return _decoder(c, corrected_router(c))


def glm4_lite_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Glm4MoeLiteConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    facts = {key: value for key, value in config.items() if key not in _LAYER_KINDS}
    c = ConfigReader("glm4_moe_lite", facts | {"first_k_dense_replace": _dense_layers(config)})
    c.expect("rope_interleave", True, before=True)
    c.take_unused("num_nextn_predict_layers", "topk_method", "scoring_func")
    usual = {"norm_topk_prob": True, "routed_scaling_factor": 1.8, **ONE_GROUP}
    return _decoder(c, corrected_router(c, **usual))


_LAYER_KINDS = ("mlp_layer_types", "first_k_dense_replace")


def _dense_layers(config: Mapping[str, Any]) -> int:
    """The number of layers without experts, which come first."""
    kinds = config.get("mlp_layer_types")
    if kinds is None:
        first = config.get("first_k_dense_replace")
        return 1 if first is None else first
    dense = [kind == "dense" for kind in kinds]
    if sorted(dense, reverse=True) != dense or not set(kinds) <= {"dense", "sparse"}:
        raise CheckpointError(
            f"family 'glm4_moe_lite' does not implement mlp_layer_types={excerpt(repr(kinds))}",
            where="config key mlp_layer_types",
            fix="dense layers first, then sparse ones",
        )
    return sum(dense)


def _decoder(c: ConfigReader, router: RouterConfig) -> DecoderConfig:
    hidden, count = c.count("hidden_size"), c.count("num_hidden_layers")
    heads, positions = c.count("num_attention_heads"), c.count("max_position_embeddings")
    c.expect("num_key_value_heads", heads, None, before=heads)
    c.expect("moe_layer_freq", 1, before=1)
    c.take_unused(*_NO_EFFECT)
    rank = c.take("q_lora_rank")
    latent = LatentConfig(
        None if rank is None else int(rank), c.count("kv_lora_rank"), c.count("qk_nope_head_dim"),
        c.count("qk_rope_head_dim"), c.count("v_head_dim"),
    )  # fmt: skip
    head_dim = latent.nope_dim + latent.rope_dim
    stretch = _temperature(c)
    rope = read_rope(c, latent.rope_dim, positions)
    bias = c.flag("attention_bias", before=False)
    attention = AttentionConfig(
        heads, heads, head_dim, head_dim**-0.5 * stretch**2, qkv_bias=bias, out_bias=bias,
        latent=latent, kind="latent",
    )  # fmt: skip
    norm, kind = NormConfig(c.number("rms_norm_eps")), activation(c)
    expert = FeedForwardConfig(c.count("moe_intermediate_size"), kind)
    shared = FeedForwardConfig(expert.size * c.count("n_shared_experts"), kind)
    dense = FeedForwardConfig(c.count("intermediate_size"), kind)
    layer = LayerConfig(attention, dense, norm)
    sparse = MoEConfig(router, expert, shared)
    layers = after_dense(c, layer, sparse, count)
    result = DecoderConfig(
        family=c.family,
        vocab_size=c.count("vocab_size"),
        hidden_size=hidden,
        max_positions=positions,
        tied_embeddings=c.flag("tie_word_embeddings", before=False),
        layers=layers,
        ropes=(rope,),
        norm=norm,
    )
    c.finish()
    return result


def _temperature(c: ConfigReader) -> float:
    """YaRN's factor on queries and keys, which these models include in the softmax scale."""
    scaling = rope_mapping(c.peek("rope_parameters"), c.peek("rope_scaling"))
    all_dim, factor = scaling.get("mscale_all_dim"), scaling.get("factor")
    return yarn_mscale(float(factor), float(all_dim)) if all_dim and factor else 1.0


def _cut_kv_up(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[H * (nope + value), rank] -> keys [H, nope, rank] and values [H, rank, value]."""
    heads, nope, rank = shapes[0]
    both = tensor.reshape(heads, -1, rank)
    return [both[:, :nope], both[:, nope:].transpose(1, 2)]


def _join_kv_up(tensors: list[Tensor]) -> Tensor:
    import torch

    keys, values = tensors
    return torch.cat((keys, values.transpose(1, 2)), dim=1).flatten(0, 1)


def _rotary_rows(name: str, tensor: Tensor, config: DecoderConfig, apart: bool) -> Tensor:
    """Reorder rotary rows from pairs (2i, 2i+1) to halves (i, i + E/2), or back."""
    latent = config.attentions[0].latent
    assert latent is not None
    rope, query = latent.rope_dim, ".attention.query." in name and "norm" not in name
    if query and ".down." not in name:
        block = latent.nope_dim + rope
    elif ".kv_down." in name:
        block = tensor.shape[0]
    else:
        return tensor
    blocks = tensor.reshape(-1, block, *tensor.shape[1:]).clone()
    rows = blocks[:, block - rope :]
    shape = (rope // 2, 2) if apart else (2, rope // 2)
    moved = rows.reshape(rows.shape[0], *shape, *tensor.shape[1:]).transpose(1, 2)
    blocks[:, block - rope :] = moved.reshape(rows.shape)
    return blocks.reshape(tensor.shape)


def halves(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return _rotary_rows(name, tensor, config, apart=True)


def pairs(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return _rotary_rows(name, tensor, config, apart=False)


def beyond_the_last_layer(name: str, config: DecoderConfig) -> bool:
    """Multi-token-prediction layers are stored after the model's own layers."""
    parts = name.removeprefix("model.").split(".")
    return parts[0] in ("layers", "blk") and int(parts[1]) >= config.num_layers


_ATTENTION = [
    (f"{L}.self_attn.q_proj.{{leaf}}", f"{D}.attention.query.{{leaf}}"),
    (f"{L}.self_attn.q_a_proj.{{leaf}}", f"{D}.attention.query.down.{{leaf}}"),
    (f"{L}.self_attn.q_a_layernorm.weight", f"{D}.attention.query.norm.weight"),
    (f"{L}.self_attn.q_b_proj.{{leaf}}", f"{D}.attention.query.up.{{leaf}}"),
    (f"{L}.self_attn.kv_a_proj_with_mqa.{{leaf}}", f"{D}.attention.kv_down.{{leaf}}"),
    (f"{L}.self_attn.kv_a_layernorm.weight", f"{D}.attention.kv_norm.weight"),
]
_KV_UP = Split(
    f"{L}.self_attn.kv_b_proj.weight",
    (f"{D}.attention.key_up", f"{D}.attention.value_up"),
    _cut_kv_up,
    _join_kv_up,
)
EXPERTS = [
    *hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj"),
    *expert_names.shared("mlp.shared_experts"),
    expert_names.correction("mlp.gate.e_score_correction_bias"),
]
KEYS = KeyMap(
    hf_names.EMBED + _ATTENTION + hf_names.OUT + hf_names.PRE_NORM + hf_names.GATED
    + EXPERTS + hf_names.HEAD,
    splits=[_KV_UP],
    ignored=[hf_names.ROTARY_TABLES],
)  # fmt: skip

GGUF_KEYS = gguf_names.deepseek(
    Split("blk.{i}.attn_kv_b.weight", _KV_UP.targets, _KV_UP.cut, _KV_UP.join)
)

_TINY = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 4, "intermediate_size": 96, "moe_intermediate_size": 32,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 12, "first_k_dense_replace": 1,
}  # fmt: skip

V2 = Family(
    name="deepseek_v2",
    architecture="DeepseekV2ForCausalLM",
    from_hf=v2_from_hf,
    keys={"hf": KEYS, "gguf": GGUF_KEYS},
    config_from={"gguf": gguf_deepseek.v2},
    tiny=_TINY,
    restore={"hf": halves, "gguf": halves},
    store=pairs,
)
V3 = Family(
    name="deepseek_v3",
    architecture="DeepseekV3ForCausalLM",
    from_hf=v3_from_hf,
    keys={"hf": KEYS, "gguf": GGUF_KEYS},
    config_from={"gguf": gguf_deepseek.v3},
    tiny={**_TINY, "q_lora_rank": 24, "n_group": 4, "topk_group": 2},
    restore={"hf": halves, "gguf": halves},
    store=pairs,
    ignored=beyond_the_last_layer,
)
GLM4_LITE = Family(
    name="glm4_moe_lite",
    architecture="Glm4MoeLiteForCausalLM",
    from_hf=glm4_lite_from_hf,
    keys={"hf": KEYS},
    tiny={**{k: v for k, v in _TINY.items() if k != "first_k_dense_replace"}, "q_lora_rank": 24},
    restore={"hf": halves},
    store=pairs,
    ignored=beyond_the_last_layer,
)
