"""Llama checkpoints of llama.cpp (GGUF) and of Meta: names, layouts and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families.keymap import KeyMap

if TYPE_CHECKING:
    from torch import Tensor


GGUF_KEYS = KeyMap(
    [
        ("token_embd.weight", "embed.weight"),
        ("blk.{i}.attn_norm.weight", "layers.{i}.attention_norm.weight"),
        ("blk.{i}.attn_q.{leaf}", "layers.{i}.attention.qkv.q.{leaf}"),
        ("blk.{i}.attn_k.{leaf}", "layers.{i}.attention.qkv.k.{leaf}"),
        ("blk.{i}.attn_v.{leaf}", "layers.{i}.attention.qkv.v.{leaf}"),
        ("blk.{i}.attn_output.{leaf}", "layers.{i}.attention.out.{leaf}"),
        ("blk.{i}.ffn_norm.weight", "layers.{i}.ffn_norm.weight"),
        ("blk.{i}.ffn_gate.{leaf}", "layers.{i}.feed_forward.gate_up.gate.{leaf}"),
        ("blk.{i}.ffn_up.{leaf}", "layers.{i}.feed_forward.gate_up.up.{leaf}"),
        ("blk.{i}.ffn_down.{leaf}", "layers.{i}.feed_forward.down.{leaf}"),
        ("output_norm.weight", "norm.weight"),
        ("output.weight", "head.weight"),
    ],
    # Frequency factors of llama3 scaling; the model option states the scaling itself.
    ignored=[r"rope_freqs\.weight"],
)

META_KEYS = KeyMap(
    [
        ("tok_embeddings.weight", "embed.weight"),
        ("layers.{i}.attention_norm.weight", "layers.{i}.attention_norm.weight"),
        ("layers.{i}.attention.wq.weight", "layers.{i}.attention.qkv.q.weight"),
        ("layers.{i}.attention.wk.weight", "layers.{i}.attention.qkv.k.weight"),
        ("layers.{i}.attention.wv.weight", "layers.{i}.attention.qkv.v.weight"),
        ("layers.{i}.attention.wo.weight", "layers.{i}.attention.out.weight"),
        ("layers.{i}.ffn_norm.weight", "layers.{i}.ffn_norm.weight"),
        ("layers.{i}.feed_forward.w1.weight", "layers.{i}.feed_forward.gate_up.gate.weight"),
        ("layers.{i}.feed_forward.w3.weight", "layers.{i}.feed_forward.gate_up.up.weight"),
        ("layers.{i}.feed_forward.w2.weight", "layers.{i}.feed_forward.down.weight"),
        ("norm.weight", "norm.weight"),
        ("output.weight", "head.weight"),
    ],
    ignored=[r"rope\.freqs"],
)


def halves_from_pairs(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Reorder the rows of q and k from interleaved RoPE pairs to half-and-half.

    Meta's code and llama.cpp rotate channels (2i, 2i+1); this decoder, as Hugging Face,
    rotates (i, i + E/2). Rows [N*E, ...] -> [N*E, ...], head by head.
    """
    if ".qkv.q." not in name and ".qkv.k." not in name:
        return tensor
    head_dim = config.layers[0].attention.head_dim
    heads = tensor.shape[0] // head_dim
    rest = tensor.shape[1:]
    pairs = tensor.reshape(heads, head_dim // 2, 2, *rest)
    return pairs.transpose(1, 2).reshape(heads * head_dim, *rest)


def config_from_gguf(meta: Mapping[str, Any]) -> dict[str, Any]:
    """GGUF metadata of architecture ``llama`` -> the facts of a config.json.

    https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    """
    hidden = meta["llama.embedding_length"]
    heads = meta["llama.attention.head_count"]
    return {
        "vocab_size": meta["tensor:token_embd.weight"][0],
        "hidden_size": hidden,
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta.get("llama.attention.head_count_kv", heads),
        "head_dim": meta.get("llama.attention.key_length", hidden // heads),
        "intermediate_size": meta["llama.feed_forward_length"],
        "max_position_embeddings": meta["llama.context_length"],
        # Stored as float32: seven digits bring back the number that was meant.
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": meta.get("llama.rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": "tensor:output.weight" not in meta,
        **_gguf_scaling(meta),
    }


def _gguf_scaling(meta: Mapping[str, Any]) -> dict[str, Any]:
    kind = meta.get("llama.rope.scaling.type", "none")
    if "tensor:rope_freqs.weight" in meta:
        # The numbers are baked into a tensor of factors; that there is a scaling is known.
        return {"rope_scaling": {"rope_type": "llama3"}}
    if kind == "none":
        return {"rope_scaling": None}
    return {"rope_scaling": {"rope_type": kind, "factor": meta["llama.rope.scaling.factor"]}}


def config_from_meta(params: Mapping[str, Any]) -> dict[str, Any]:
    """Meta's ``params.json`` -> the facts of a config.json.

    It holds neither the vocabulary (in old files), nor the context, nor tying; those that
    it does not hold are left to the model option.
    """
    dim, heads = params["dim"], params["n_heads"]
    # The rule of Meta's reference implementation for the feed-forward size.
    ffn = int(2 * (4 * dim) / 3)
    if params.get("ffn_dim_multiplier") is not None:
        ffn = int(params["ffn_dim_multiplier"] * ffn)
    multiple = params["multiple_of"]
    facts = {
        "hidden_size": dim,
        "num_hidden_layers": params["n_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": params.get("n_kv_heads") or heads,
        "head_dim": params.get("head_dim") or dim // heads,
        "intermediate_size": params.get("hidden_dim") or multiple * -(-ffn // multiple),
        "rms_norm_eps": params["norm_eps"],
        "rope_theta": params.get("rope_theta", 10000.0),
        "hidden_act": "silu",
    }
    if params.get("use_scaled_rope"):
        facts["rope_scaling"] = _meta_scaling(params)
    if params.get("vocab_size", -1) > 0:
        facts["vocab_size"] = params["vocab_size"]
    return facts


def _meta_scaling(params: Mapping[str, Any]) -> dict[str, Any]:
    if "rope_scale_factor" not in params:
        raise CheckpointError(
            "params.json says use_scaled_rope and not by which factor",
            where="rope_scale_factor",
            fix="add rope_scale_factor to params.json: 8 for Llama 3.1, 32 for Llama 3.2",
        )
    return {
        "rope_type": "llama3",
        "factor": float(params["rope_scale_factor"]),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
