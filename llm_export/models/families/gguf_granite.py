"""Granite 3 and 4 and Bamba in GGUF files: tensor names and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/granite.py``. The converter writes a Granite 4
as architecture granitehybrid; without Mamba layers as granite, or granitemoe with experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.families import gguf_mixers, gguf_names
from llm_export.models.families.gguf_layers import first
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.gguf_rope import read_rope
from llm_export.models.families.keymap import KeyMap

HYBRID = KeyMap(
    [*gguf_names.COMMON.pairs, *gguf_names.SHARED, *gguf_mixers.PAIRS],
    [*gguf_names.COMMON.splits, *gguf_mixers.SPLITS],
    ignored=gguf_names.TABLES,
)

SWA = KeyMap(
    [*gguf_names.COMMON.pairs, (f"{B}.attn_sinks.weight", f"{D}.attention.sinks")],
    ignored=gguf_names.TABLES,
)

_SSM = ("conv_kernel", "state_size", "group_count", "inner_size", "time_step_rank")


def granite(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    # llama.cpp uses this Granite key as the flag for RoPE.
    m.expect("rope.scaling.finetuned", True)
    # The converter of Granite 4 writes keys of hybrid models for those of attention alone, too.
    m.expect("expert_count", 0)
    m.expect("expert_used_count", 0)
    _drop_mixer(m)
    m.take("expert_shared_feed_forward_length", before=None)
    facts = _dense(m, 0) | scales(m) | {"mlp_bias": m.has("blk.0.ffn_down.bias")}
    m.finish()
    return facts


def granitemoehybrid(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architectures ``granite``, ``granitemoe`` and ``granitehybrid``."""
    if raw["general.architecture"] == "granite":
        facts = granite(raw)
        facts.pop("mlp_bias")
        return facts | {
            "shared_intermediate_size": facts["intermediate_size"],
            "layer_types": ["attention"] * facts["num_hidden_layers"],
            "num_local_experts": 0,
            "position_embedding_type": "rope",
        }
    m = Metadata(raw)
    heads = m.per_layer("attention.head_count_kv")
    kinds = ["attention" if n else "mamba" for n in heads]
    # llama.cpp uses this Granite key as the flag for RoPE.
    rotates = m.expect("rope.scaling.finetuned", True, False)
    facts = _dense(m, first(kinds, "attention")) | scales(m) | _experts(m)
    facts["num_key_value_heads"] = max(heads) or facts["num_attention_heads"]
    facts["layer_types"] = kinds
    facts["position_embedding_type"] = "rope" if rotates else "nope"
    if "mamba" in kinds:
        mixer = gguf_mixers.read_mixer(m, first(kinds, "mamba"))
        facts |= mixer | {"mamba_expand": gguf_mixers.expansion(mixer, facts["hidden_size"])}
    else:
        _drop_mixer(m)
    m.finish()
    return facts


def granite_swa(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architecture ``granite_swa`` (SWASH)."""
    m = Metadata(raw)
    m.expect("expert_count", 0)
    m.expect("expert_used_count", 0)
    slides = m.flags("attention.sliding_window_pattern")
    rotates = m.flags("attention.rope_pattern") if m.states("attention.rope_pattern") else None
    facts = _dense(m, 0) | scales(m) | {"mlp_bias": m.has("blk.0.ffn_down.bias")}
    facts["sliding_window"] = m.count("attention.sliding_window")
    facts["layer_types"] = ["sliding_attention" if s else "full_attention" for s in slides]
    theta = facts["rope_theta"]
    facts["layer_rope_theta"] = rotates and [theta if turns else 0 for turns in rotates]
    m.finish()
    return facts


def bamba(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architecture ``granitehybrid``. llama.cpp turns other channels than the models
    do, which turn the first half of a head; this reads the model that was converted.
    """
    m = Metadata(raw)
    heads = m.per_layer("attention.head_count_kv")
    attends = [i for i, n in enumerate(heads) if n]
    m.expect("rope.scaling.finetuned", True)
    facts = _dense(m, attends[0] if attends else 0)
    mixer = gguf_mixers.read_mixer(m, next((i for i, n in enumerate(heads) if not n), 0))
    facts |= mixer | {
        "mamba_expand": gguf_mixers.expansion(mixer, facts["hidden_size"]),
        "num_key_value_heads": max(heads) or facts["num_attention_heads"],
        "attn_layer_indices": attends,
        "mlp_bias": m.has("blk.0.ffn_down.bias"),
        "partial_rotary_factor": 0.5,
    }
    m.finish()
    return facts


def _dense(m: Metadata, attends: int) -> dict[str, Any]:
    """
    Args:
        attends: the first layer with attention.
    """
    facts = read_common(m)
    facts["head_dim"] = read_head_dim(m, facts)
    facts |= read_rope(m, facts["head_dim"])
    return facts | {"attention_bias": m.has(f"blk.{attends}.attn_q.bias")}


def scales(m: Metadata) -> dict[str, Any]:
    """Granite's factors."""
    return {
        "attention_multiplier": m.take("attention.scale"),
        "embedding_multiplier": m.take("embedding_scale"),
        "residual_multiplier": m.take("residual_scale"),
        "logits_scaling": m.take("logit_scale"),
    }


def _experts(m: Metadata) -> dict[str, Any]:
    """The experts, and the dense network beside them or in their place."""
    count, used = m.count("expert_count", before=0), m.count("expert_used_count", before=0)
    m.expect("expert_weights_norm", True)
    m.expect("expert_weights_scale", 1.0)
    shared = m.count("expert_shared_feed_forward_length", before=0)
    if not count:
        return {"num_local_experts": 0, "shared_intermediate_size": m.rows("blk.0.ffn_up.weight")}
    if not shared:
        raise CheckpointError(
            f"GGUF files of architecture {m.architecture} with experts, and without one that runs "
            "for every token, are not read",
            where=f"{m.architecture}.expert_shared_feed_forward_length",
            fix="give the model's Hugging Face folder (safetensors): checkpoint.path=FOLDER",
        )
    return {"num_local_experts": count, "num_experts_per_tok": used,
            "shared_intermediate_size": shared}  # fmt: skip


def _drop_mixer(m: Metadata) -> None:
    """Sizes of mixers that the model does not have."""
    for key in _SSM:
        m.take(f"ssm.{key}", before=None)
