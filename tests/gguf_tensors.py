"""The tensors of transformers models as llama.cpp's converter stores them in GGUF files.

Written from what the converter does (ggml-org/llama.cpp, ``conversion/``); it shares nothing with
the families under test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import gguf_moe
from torch import Tensor, arange, cat, tensor

PERMUTED = ("llama", "mistral", "mixtral", "granite", "smollm3", "arcee", "ministral3",
            "granitemoehybrid", "bamba", "granite_swa", "granitemoe",
            "nemotron_h")  # fmt: skip
SHIFTED_NORMS = ("gemma", "gemma2", "gemma3_text", "qwen3_5_text")
MAMBA = ("mamba2", "granitemoehybrid", "bamba", "nemotron_h", "falcon_h1")
Pieces = Iterator[tuple[str, Tensor]]


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
        if ".act_fn." in name:
            continue  # in the metadata
        if kind in SHIFTED_NORMS and "linear_attn" not in name and name.endswith("norm.weight"):
            value = value + 1
        if name.endswith("conv.conv.weight"):
            value = value.squeeze(1)
        name, value = gguf_moe.renamed(kind, name, value)
        if kind == "granitemoehybrid" and "shared_mlp" in name:
            yield from _shared(name, value, beside=bool(config.num_local_experts))
            continue
        if kind in MAMBA:
            name, value = _mamba(config, name, value)
        if kind == "falcon_h1":
            value = _falcon_h1(config, name, value)
        if "linear_attn." in name:
            value = _delta(config, name, value)
        name = named(name)
        if ".experts." in name and re.match(r"(lfm2_moe|granitemoehybrid|nemotron)", kind):
            yield from _stacked(name, value)
        elif ".experts." in name:
            parts = _experts(name, value, turned=kind == "gpt_oss")
            yield from _one_by_one(parts) if old and kind == "mixtral" else parts
        elif "kv_b_proj" in name and not old:
            both = value.view(config.num_attention_heads, -1, value.shape[-1])
            nope = config.qk_nope_head_dim
            yield name.replace("kv_b_proj", "k_b_proj"), both[:, :nope].swapaxes(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), both[:, nope:]
        else:
            yield name, value


# Names that the package's tables lack, because the converter or transformers changed them.
RENAMED = (
    (r"(.*)dt_bias", r"\1dt_proj.bias"),
    (r"(.*(sinks|layer_scalar))", r"\1.weight"),
    (r"(.*)e_score_correction_bias", r"\1e_score_correction.bias"),
    (r"(.*)expert_bias", r"\1expert_bias.bias"),
    (r"(.*block_sparse_moe\.)router.weight", r"\1router.layer.weight"),
    (r"model\.layers(\.\d+\.mixer\..*)", r"backbone.layers\1"),
    (r".*layers\.(\d+)\.self_attn.attn_sub_norm.weight", r"blk.\1.attn_sub_norm.weight"),
    (r".*layers\.(\d+)\.mlp.ffn_sub_norm.weight", r"blk.\1.ffn_sub_norm.weight"),
)


def named(name: str) -> str:
    for pattern, new in RENAMED:
        name = re.sub(f"^{pattern}$", new, name)
    return name


def _shared(name: str, value: Tensor, beside: bool) -> Pieces:
    """Granite 4's dense network, in the place of the experts or beside them."""
    block = "blk." + re.findall(r"layers\.(\d+)", name)[0]
    end = "_shexp.weight" if beside else ".weight"
    if "output" in name:
        yield f"{block}.ffn_down{end}", value
        return
    gate, up = value.chunk(2)
    yield f"{block}.ffn_gate{end}", gate
    yield f"{block}.ffn_up{end}", up


def _stacked(name: str, value: Tensor) -> Pieces:
    """Experts, [X, F, D], that the package's tables know under names of single experts alone."""
    block = "blk." + re.findall(r"layers\.(\d+)", name)[0]
    if "gate_up_proj" in name:
        gate, up = value.chunk(2, dim=1)
        yield f"{block}.ffn_gate_exps.weight", gate
        yield f"{block}.ffn_up_exps.weight", up
    else:
        what = "down" if "down_proj" in name else "up"
        yield f"{block}.ffn_{what}_exps.weight", value


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


def _mamba(c: Any, name: str, value: Tensor) -> tuple[str, Tensor]:
    """As ``Mamba2Model`` stores tensors of a mixer."""
    if not re.search(r"\.(mamba|mixer)\.", name):
        return name, value
    if name.endswith("A_log"):
        value = -value.exp()
    if name.endswith(("A_log", ".D")):
        value = value.reshape(-1, 1)
    if "conv1d.weight" in name:
        value = value.squeeze(1)
    if re.search(r"(mamba|mixer)\.norm", name):
        groups = c.mamba_n_groups if hasattr(c, "mamba_n_groups") else c.n_groups
        value = value.reshape(groups, -1)
    return name, value


def _delta(c: Any, name: str, value: Tensor) -> Tensor:
    """As ``Qwen3NextModel`` stores tensors of a delta net, whose value heads then are reordered:
    llama.cpp repeats the key heads as a whole.
    """
    if name.endswith("A_log"):
        value = -value.exp()
    if "conv1d" in name:
        value = value.squeeze(1)
    keys, values = c.linear_num_key_heads, c.linear_num_value_heads
    order = arange(values).view(keys, values // keys).t().reshape(-1)
    wide = arange(values * c.linear_value_head_dim).view(values, -1)[order].reshape(-1)
    fixed = 2 * keys * c.linear_key_head_dim
    if "qkv" in name or "conv1d" in name:
        return cat([value[:fixed], value[fixed:][wide]])
    if "out_proj" in name:
        return value[:, wide]
    if ".norm." in name:
        return value
    return value[wide if "in_proj_z" in name else order]


def _falcon_h1(c: Any, name: str, value: Tensor) -> Tensor:
    """As ``FalconH1Model`` scales tensors."""
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
    return value


def _one_by_one(parts: Pieces) -> Pieces:
    """As the converter wrote experts before April 2024."""
    for name, stacked in parts:
        layer, what = re.findall(r"layers\.(\d+).*\.(gate|up|down)_proj", name)[0]
        for expert, value in enumerate(stacked):
            yield f"blk.{layer}.ffn_{what}.{expert}.weight", value


def tables(config: Any) -> Iterator[tuple[str, list[float]]]:
    """RoPE scalings that are stored as tensors."""
    rope = getattr(config, "rope_parameters", None) or {}
    if config.model_type == "gemma4_text":
        dims = config.per_layer_config["full_attention"]
        half = dims.head_dim // 2
        turning = int(half * rope["full_attention"]["partial_rotary_factor"])
        yield "rope_freqs.weight", [1.0] * turning + [1e30] * (half - turning)
    if rope.get("rope_type") == "llama3":
        usual = config.hidden_size // config.num_attention_heads
        yield "rope_freqs.weight", _llama3(rope, getattr(config, "head_dim", usual)).tolist()
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", rope["long_factor"]
        yield "rope_factors_short.weight", rope["short_factor"]


def _llama3(rope: dict[str, Any], dim: int) -> Tensor:
    wavelength = 2 * math.pi * rope["rope_theta"] ** (arange(0, dim, 2) / dim)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / wavelength
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / rope["factor"] + smooth)
