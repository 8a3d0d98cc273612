"""LFM2, with and without experts, in GGUF files: tensor names and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/lfm2.py``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families import gguf_names
from llm_export.models.families.conv_names import flat_taps
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.gguf_rope import read_rope
from llm_export.models.families.keymap import KeyMap, Split

_SIGMOID = 2

NAMES = KeyMap(
    [
        gguf_names.ENDS[0],
        # What comes after the layers, under a name of its own in these architectures.
        ("token_embd_norm.weight", "norm.weight"),
        *gguf_names.ENDS[1:], *gguf_names.OUT, *gguf_names.QKV, *gguf_names.QK_NORM,
        *gguf_names.PRE_NORM, *gguf_names.GATED, *gguf_names.ROUTER,
        (f"{B}.shortconv.out_proj.weight", f"{D}.mixer.out.weight"),
    ],
    [
        *gguf_names.EXPERTS,
        Split(f"{B}.shortconv.in_proj.weight", tuple(f"{D}.mixer.{x}.weight" for x in "bcx")),
        flat_taps(f"{B}.shortconv.conv.weight", f"{D}.mixer.conv.weight"),
    ],
    ignored=gguf_names.TABLES,
)  # fmt: skip


def lfm2(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    facts = _common(m)
    # The file holds the size that the config's other keys amount to.
    facts |= {"block_ff_dim": None, "block_auto_adjust_ff_dim": False}
    m.finish()
    return facts


def lfm2_moe(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    facts = _common(m)
    m.expect("expert_gating_func", _SIGMOID)
    m.expect("expert_weights_norm", True)
    facts |= {
        "num_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
        "moe_intermediate_size": m.count("expert_feed_forward_length"),
        "num_dense_layers": m.count("leading_dense_block_count", before=0),
        "norm_topk_prob": True,
        "routed_scaling_factor": m.take("expert_weights_scale", before=1.0),
    }
    m.finish()
    return facts


def _common(m: Metadata) -> dict[str, Any]:
    # Layers without key/value heads have a convolution.
    heads = m.per_layer("attention.head_count_kv")
    facts = read_common(m)
    del facts["hidden_act"]
    facts["norm_eps"] = facts.pop("rms_norm_eps")
    facts["num_key_value_heads"] = max(heads)
    facts["layer_types"] = ["full_attention" if n else "conv" for n in heads]
    facts["conv_L_cache"] = m.count("shortconv.l_cache")
    facts["head_dim"] = read_head_dim(m, facts)
    return facts | read_rope(m, facts["head_dim"])
