"""Tiny transformers models as GGUF files, the way that llama.cpp's converter writes them.

This is written from what the converter does (ggml-org/llama.cpp, ``conversion/``) and from the
gguf package's tables; it shares nothing with the families under test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import gguf_moe
import numpy as np
from torch import Tensor, arange, cat, tensor

from llm_export.checkpoints.random import RandomCheckpoint

ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe", "smollm3": "smollm3", "phi3": "phi3", "gemma": "gemma",
    "gemma2": "gemma2", "gemma3_text": "gemma3", "olmo2": "olmo2", "olmoe": "olmoe",
    "granite": "granite", "stablelm": "stablelm", "starcoder2": "starcoder2",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss",
    "lfm2": "lfm2",
    "ministral3": "mistral3", "hunyuan_v1_dense": "hunyuan-dense", "seed_oss": "seed_oss",
    "arcee": "arcee", "ernie4_5": "ernie4_5", "glm4": "glm4",
    "exaone4": "exaone4", "olmo3": "olmo2", "cohere2": "cohere2", "granitemoehybrid": "granite",
    "falcon_h1": "falcon-h1",
    "ernie4_5_moe": "ernie4_5-moe", "glm4_moe": "glm4moe", "qwen2_moe": "qwen2moe",
    "granitemoe": "granitemoe", "hunyuan_v1_moe": "hunyuan-moe", "dots1": "dots1",
}  # fmt: skip
"""transformers' model type -> ``general.architecture``."""

PERMUTED = ("llama", "mistral", "mixtral", "granite", "smollm3", "arcee", "ministral3",
            "granitemoehybrid", "granitemoe")  # fmt: skip
SHIFTED_NORMS = ("gemma", "gemma2", "gemma3_text")
Pieces = Iterator[tuple[str, Tensor]]


def architecture(model_type: str) -> gguf.MODEL_ARCH:
    name = ARCHITECTURES[model_type]
    return next(arch for arch, label in gguf.MODEL_ARCH_NAMES.items() if label == name)


def permute(rows: Tensor, heads: int) -> Tensor:
    """Half-and-half RoPE channels -> interleaved pairs, head by head."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def converted(model: Any, old: bool = False) -> Pieces:
    """Every tensor as the converter hands it to the file, under its Hugging Face name.

    Args:
        old: as earlier converters wrote latent attention and Mixtral's experts.
    """
    config, kind = model.config, model.config.model_type
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if kind in PERMUTED and ".q_proj." in name:
            value = permute(value, config.num_attention_heads)
        if kind in PERMUTED and ".k_proj." in name:
            value = permute(value, config.num_key_value_heads)
        if kind in SHIFTED_NORMS and name.endswith("norm.weight"):
            value = value + 1
        if name.endswith("conv.conv.weight"):
            value = value.squeeze(1)
        name, value = gguf_moe.renamed(kind, name, value)
        if kind == "granitemoehybrid" and "shared_mlp" in name:
            yield from _shared(name, value)
            continue
        if kind == "falcon_h1":
            name, value = _falcon_h1(config, name, value)
        if "sinks" in name:
            name += ".weight"
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        if ".experts." in name:
            parts = _experts(name, value, turned=kind == "gpt_oss")
            yield from _one_by_one(parts) if old and kind == "mixtral" else parts
        elif "kv_b_proj" in name and not old:
            both = value.view(config.num_attention_heads, -1, value.shape[-1])
            nope = config.qk_nope_head_dim
            yield name.replace("kv_b_proj", "k_b_proj"), both[:, :nope].swapaxes(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), both[:, nope:]
        else:
            yield name, value


def _shared(name: str, value: Tensor) -> Pieces:
    """The feed-forward of a Granite 4 without experts, under the names of Granite 3."""
    base = name.partition("shared_mlp.")[0] + "mlp."
    if "output" in name:
        yield f"{base}down_proj.weight", value
        return
    gate, up = value.chunk(2)
    yield f"{base}gate_proj.weight", gate
    yield f"{base}up_proj.weight", up


def _experts(name: str, value: Tensor, turned: bool) -> Pieces:
    """transformers holds gate and up as one: [X, 2F, D], or gpt-oss's [X, D, 2F] in turns."""
    base, _, what = name.rpartition("experts.")
    what, bias = what.removesuffix("_bias"), what.endswith("_bias")
    leaf = "bias" if bias else "weight"
    rows = value.swapaxes(1, 2) if turned and not bias else value
    if what == "down_proj":
        yield f"{base}experts.down_proj.{leaf}", rows
        return
    gate, up = (rows[:, ::2], rows[:, 1::2]) if turned else rows.chunk(2, dim=1)
    yield f"{base}experts.gate_proj.{leaf}", gate
    yield f"{base}experts.up_proj.{leaf}", up


def _falcon_h1(c: Any, name: str, value: Tensor) -> tuple[str, Tensor]:
    """As ``Mamba2Model`` and ``FalconH1Model`` store and scale tensors."""
    if name.endswith("A_log"):
        value = -value.exp()
    if name.endswith(("A_log", ".D")):
        value = value.reshape(-1, 1)
    if "conv1d.weight" in name:
        value = value.squeeze(1)
    if "mamba.norm" in name:
        value = value.reshape(c.mamba_n_groups, -1)
    shared = c.mamba_n_groups * c.mamba_d_state
    parts = (c.mamba_d_ssm, c.mamba_d_ssm, shared, shared, c.mamba_n_heads)
    if "in_proj" in name:
        scales = [tensor([s] * n) for n, s in zip(parts, c.ssm_multipliers, strict=True)]
        value = value * cat(scales)[:, None] * c.ssm_in_multiplier
    heard = c.attention_in_multiplier
    for part, factor in {
        "down_proj": c.mlp_multipliers[1], "gate_proj": c.mlp_multipliers[0],
        "k_proj": c.key_multiplier * heard, "q_proj": heard, "v_proj": heard,
        "o_proj": c.attention_out_multiplier, "out_proj": c.ssm_out_multiplier,
        "lm_head": c.lm_head_multiplier, "embed_tokens": c.embedding_multiplier,
    }.items():  # fmt: skip
        if f".{part}." in f".{name}":
            value = value * factor
    return name.replace("dt_bias", "dt_proj.bias"), value


def _one_by_one(parts: Pieces) -> Pieces:
    """As the converter wrote experts before April 2024."""
    for name, stacked in parts:
        layer, what = re.findall(r"layers\.(\d+).*\.(gate|up|down)_proj", name)[0]
        for expert, value in enumerate(stacked):
            yield f"blk.{layer}.ffn_{what}.{expert}.weight", value


def tables(config: Any) -> Iterator[tuple[str, list[float]]]:
    """RoPE scalings that are stored as tensors."""
    rope = config.rope_parameters
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _llama3(rope, config.head_dim).tolist()
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", rope["long_factor"]
        yield "rope_factors_short.weight", rope["short_factor"]


def _llama3(rope: dict[str, Any], dim: int) -> Tensor:
    wavelength = 2 * math.pi * rope["rope_theta"] ** (arange(0, dim, 2) / dim)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / wavelength
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / rope["factor"] + smooth)


def write_metadata(w: gguf.GGUFWriter, model: Any, old: bool) -> None:
    """What ``TextModel.set_gguf_parameters`` and those of the architectures write."""
    c, kind = model.config, model.config.model_type
    latent = kind.startswith("deepseek")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(_lfm2_ffn(c) if kind == "lfm2" else c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    if kind == "lfm2":
        attends = [each == "full_attention" for each in c.layer_types]
        w.add_head_count_kv([c.num_key_value_heads if each else 0 for each in attends])
    else:
        w.add_head_count_kv(1 if latent and not old else c.num_key_value_heads)
    w.add_file_type(0)
    if kind in ("stablelm", "starcoder2", "cohere2"):
        w.add_layer_norm_eps(c.norm_epsilon if kind == "starcoder2" else c.layer_norm_eps)
    else:
        w.add_layer_norm_rms_eps(c.norm_eps if kind == "lfm2" else c.rms_norm_eps)
    if getattr(c, "head_dim", None) and not latent and not kind.startswith("granite"):
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
    _rope(w, c, kind)
    extra = EXTRA.get(kind)
    if extra:
        extra(w, c)
    if latent:
        _latent(w, c, old)


def _rope(w: gguf.GGUFWriter, c: Any, kind: str) -> None:
    rope = c.rope_parameters
    rope = rope.get("full_attention", rope)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if kind not in ("gemma", "gemma2", "stablelm"):
        stretched = rope.get("alpha", 1) ** (head_dim / (head_dim - 2))
        w.add_rope_freq_base(rope["rope_theta"] * stretched)
    if kind in PERMUTED:
        w.add_rope_dimension_count(head_dim)
    if kind in ("phi3", "stablelm", "glm4"):
        w.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    scaling = rope["rope_type"]
    if scaling == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    if scaling == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key in ("beta_fast", "beta_slow"):
            if rope.get(key) is not None:
                getattr(w, f"add_rope_scaling_yarn_{key}")(rope[key])
        if rope.get("attention_factor") is not None:
            w.add_rope_scaling_yarn_attn_factor(rope["attention_factor"])
    if scaling == "longrope":
        original = rope["original_max_position_embeddings"]
        grown = math.log(c.max_position_embeddings / original) / math.log(original)
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(math.sqrt(1 + grown))


def _lfm2_ffn(c: Any) -> int:
    size = int(c.intermediate_size)
    if c.block_auto_adjust_ff_dim:
        size = int(c.block_ffn_dim_multiplier * int(2 * size / 3))
        size = -(-size // c.block_multiple_of) * c.block_multiple_of
    return size


def _lfm2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_shortconv_l_cache(c.conv_L_cache)


def _mixtral(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _moe(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    if c.model_type == "qwen3_moe":
        w.add_expert_feed_forward_length(c.moe_intermediate_size)


def _phi3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window or 0)


def _gemma2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_attn_logit_softcapping(c.attn_logit_softcapping)
    w.add_final_logit_softcapping(c.final_logit_softcapping)
    w.add_sliding_window(c.sliding_window)


def _gemma3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window)
    if c.final_logit_softcapping:
        w.add_final_logit_softcapping(c.final_logit_softcapping)


def _granite(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_attention_scale(c.attention_multiplier)
    w.add_embedding_scale(c.embedding_multiplier)
    w.add_residual_scale(c.residual_multiplier)
    w.add_logit_scale(c.logits_scaling)


def _granitemoe(w: gguf.GGUFWriter, c: Any) -> None:
    _granite(w, c)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _granite4(w: gguf.GGUFWriter, c: Any) -> None:
    """The converter is that of hybrid models: it writes their keys for attention layers too."""
    _granite(w, c)
    w.add_expert_shared_feed_forward_length(c.shared_intermediate_size)
    w.add_expert_count(0)
    w.add_expert_used_count(0)
    w.add_ssm_conv_kernel(c.mamba_d_conv)
    w.add_ssm_state_size(c.mamba_d_state)
    w.add_ssm_group_count(c.mamba_n_groups)
    w.add_ssm_inner_size(c.mamba_expand * c.hidden_size)
    w.add_ssm_time_step_rank(c.mamba_n_heads)
    w.add_head_count_kv([c.num_key_value_heads] * c.num_hidden_layers)
    w.add_rope_scaling_finetuned(True)


def _ssm(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_ssm_conv_kernel(c.mamba_d_conv)
    w.add_ssm_inner_size(c.mamba_d_ssm)
    w.add_ssm_state_size(c.mamba_d_state)
    w.add_ssm_time_step_rank(c.mamba_n_heads)
    w.add_ssm_group_count(c.mamba_n_groups)


def _stablelm(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_parallel_residual(c.use_parallel_residual)


def _arcee(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)


def _ministral3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_rope_scaling_yarn_log_mul(c.rope_parameters["mscale_all_dim"])
    w.add_attn_temperature_scale(c.rope_parameters["llama_4_scaling_beta"])


def _hunyuan(w: gguf.GGUFWriter, c: Any) -> None:
    if c.rope_parameters["rope_type"] == "dynamic":
        w.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        w.add_rope_scaling_factor(1)
        w.add_rope_scaling_orig_ctx_len(256 * 1024)


def _gpt_oss(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window)
    w.add_expert_feed_forward_length(c.intermediate_size)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _cohere2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_logit_scale(c.logit_scale)
    w.add_sliding_window(c.sliding_window)
    w.add_vocab_size(c.vocab_size)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def _windowed(w: gguf.GGUFWriter, c: Any) -> None:
    if c.model_type == "exaone4":
        w.add_vocab_size(c.vocab_size)
    if c.sliding_window is not None:
        w.add_sliding_window(c.sliding_window)
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])


EXTRA: dict[str, Callable[[gguf.GGUFWriter, Any], None]] = {
    "lfm2": _lfm2,
    "mixtral": _mixtral, "qwen3_moe": _moe, "olmoe": _moe, "phi3": _phi3, "gemma2": _gemma2,
    "gemma3_text": _gemma3, "granite": _granite, "stablelm": _stablelm, "gpt_oss": _gpt_oss,
    "arcee": _arcee, "ministral3": _ministral3, "hunyuan_v1_dense": _hunyuan,
    "cohere2": _cohere2, "exaone4": _windowed, "olmo3": _windowed, "granitemoehybrid": _granite4,
    "falcon_h1": _ssm, "granitemoe": _granitemoe, **gguf_moe.EXTRA,
}  # fmt: skip


def _latent(w: gguf.GGUFWriter, c: Any, old: bool) -> None:
    third = c.model_type == "deepseek_v3"
    whole = c.qk_nope_head_dim + c.qk_rope_head_dim
    w.add_vocab_size(c.vocab_size)
    w.add_leading_dense_block_count(c.first_k_dense_replace)
    if c.q_lora_rank is not None:
        w.add_q_lora_rank(c.q_lora_rank)
    w.add_kv_lora_rank(c.kv_lora_rank)
    w.add_key_length(whole if old else c.kv_lora_rank + c.qk_rope_head_dim)
    w.add_value_length(c.v_head_dim if old else c.kv_lora_rank)
    if not old:
        w.add_key_length_mla(whole)
        w.add_value_length_mla(c.v_head_dim)
        if c.n_group is not None:
            w.add_expert_group_count(c.n_group)
            w.add_expert_group_used_count(c.topk_group)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_count(c.n_routed_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_shared_count(c.n_shared_experts)
    w.add_expert_weights_scale(c.routed_scaling_factor)
    if third:
        w.add_expert_weights_norm(True)
    if third or not old:
        gates = gguf.ExpertGatingFuncType
        w.add_expert_gating_func(gates.SIGMOID if third else gates.SOFTMAX)
    w.add_rope_dimension_count(c.qk_rope_head_dim)
    all_dim = c.rope_parameters.get("mscale_all_dim")
    if all_dim is not None:
        w.add_rope_scaling_yarn_log_mul(0.1 * all_dim)


def write_vocabulary(w: gguf.GGUFWriter, rows: int) -> None:
    """The byte vocabulary of random checkpoints, and a merge: the writer drops empty lists."""
    import json

    assets = json.loads(RandomCheckpoint(0, {"embed.weight": (rows, 8)}).tokenizer().tokenizer_json)
    vocab = {**assets["model"]["vocab"], **{t["content"]: t["id"] for t in assets["added_tokens"]}}
    tokens = sorted(vocab, key=vocab.__getitem__)
    tokens[tokens.index("<unused0>")] = "Ġt"
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    w.add_token_merges(["Ġ t"])
    w.add_bos_token_id(rows - 2)
    w.add_eos_token_id(rows - 1)


def gguf_name(model: Any, name: str) -> str:
    """A tensor's name in the file, by the gguf package's tables."""
    if name.startswith("blk."):
        return name
    config = model.config
    names = gguf.get_tensor_name_map(architecture(config.model_type), config.num_hidden_layers)
    # The tables know Mixtral's experts as transformers held them before version 5.
    mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if mapped is None:
        older = re.sub(r"model\.layers\.(\d+)\.mlp\.", r"model.layers.\1.block_sparse_moe.", name)
        mapped = names.get_name(older, try_suffixes=(".weight", ".bias"))
    assert mapped, name
    return str(mapped)


def write_gguf(
    path: Path,
    model: Any,
    quant: str = "F32",
    *,
    old: bool = False,
    change: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    """Write ``model`` with matrices in block type ``quant`` where their rows allow it.

    As llama.cpp does, MXFP4 only for experts.
    """
    w = gguf.GGUFWriter(path, ARCHITECTURES[model.config.model_type])
    w.add_name("tiny")
    write_metadata(w, model, old)
    change(w)
    write_vocabulary(w, model.config.vocab_size)
    for table, numbers in tables(model.config):
        w.add_tensor(table, tensor(numbers).float().numpy())
    wanted = gguf.GGMLQuantizationType[quant]
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    for name, value in converted(model, old):
        fits = value.dim() > (2 if quant == "MXFP4" else 1) and value.shape[-1] % block == 0
        kind = wanted if fits else gguf.GGMLQuantizationType.F32
        array = gguf.quants.quantize(np.ascontiguousarray(value.float().numpy()), kind)
        w.add_tensor(gguf_name(model, name), array, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def described(config: Any) -> dict[str, Any]:
    """What a reader says of a file of a model of any size, without making the model."""
    w = gguf.GGUFWriter("none", ARCHITECTURES[config.model_type])
    write_metadata(w, SimpleNamespace(config=config), old=False)
    raw = {key: field.value for key, field in w.kv_data[0].items()}
    present = {
        "token_embd.weight": True,
        "output.weight": not config.tie_word_embeddings,
        "blk.0.ffn_norm.weight": not getattr(config, "use_parallel_residual", False),
        "blk.0.attn_q.bias": config.model_type == "qwen2" or any(
            getattr(config, key, False) for key in ("attention_bias", "use_qkv_bias", "use_bias",
                                                    "qkv_bias")
        ),
        "blk.0.ffn_down.bias": getattr(config, "mlp_bias", False),
        "blk.0.ssm_conv1d.bias": getattr(config, "mamba_conv_bias", False),
    }  # fmt: skip
    shape = (config.vocab_size, config.hidden_size)
    raw |= {f"tensor:{name}": shape for name, there in present.items() if there}
    for name, numbers in tables(config):
        raw |= {f"tensor:{name}": (len(numbers),), f"values:{name}": list(numbers)}
    return raw
