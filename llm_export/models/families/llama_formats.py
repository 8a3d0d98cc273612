"""Meta's Llama checkpoints: names and configs, and the row layout that GGUF files share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families.keymap import KeyMap

if TYPE_CHECKING:
    from torch import Tensor


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
    head_dim = config.attentions[0].head_dim
    heads = tensor.shape[0] // head_dim
    rest = tensor.shape[1:]
    pairs = tensor.reshape(heads, head_dim // 2, 2, *rest)
    return pairs.transpose(1, 2).reshape(heads * head_dim, *rest)


def pairs_from_halves(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The inverse of ``halves_from_pairs``."""
    if ".qkv.q." not in name and ".qkv.k." not in name:
        return tensor
    head_dim = config.attentions[0].head_dim
    halves = tensor.reshape(-1, 2, head_dim // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def config_from_meta(params: Mapping[str, Any]) -> dict[str, object]:
    """Convert Meta's ``params.json`` to config.json keys.

    It contains neither the vocabulary size (in old files) nor the context length nor weight tying;
    the model option must state them.
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


def _meta_scaling(params: Mapping[str, Any]) -> dict[str, object]:
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
