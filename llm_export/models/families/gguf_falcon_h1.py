"""Falcon-H1 in GGUF files: tensor names, and metadata of architecture ``falcon-h1``.

https://github.com/ggml-org/llama.cpp, ``conversion/falcon_h1.py``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families import gguf_mixers, gguf_names
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.gguf_rope import read_rope
from llm_export.models.families.keymap import KeyMap

NAMES = KeyMap(
    # The converter drops the suffix of the first of these.
    [*gguf_names.COMMON.pairs, (f"{B}.ffn_norm", f"{D}.ffn_norm.weight"), *gguf_mixers.PAIRS],
    [*gguf_names.COMMON.splits, *gguf_mixers.SPLITS],
    ignored=gguf_names.TABLES,
)

FOLDED = {
    **dict.fromkeys(
        ("attention_in_multiplier", "attention_out_multiplier", "embedding_multiplier",
         "key_multiplier", "lm_head_multiplier", "ssm_in_multiplier", "ssm_out_multiplier"), 1.0
    ),
    "mlp_multipliers": [1.0] * 2, "ssm_multipliers": [1.0] * 5,
}  # fmt: skip
"""Multipliers, which the converter folds into the weights."""


def falcon_h1(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    facts = read_common(m)
    facts["head_dim"] = read_head_dim(m, facts)
    facts |= read_rope(m, facts["head_dim"]) | gguf_mixers.read_mixer(m, 0)
    facts |= {
        "mamba_d_ssm": facts["mamba_n_heads"] * facts["mamba_d_head"],
        "mamba_rms_norm": m.has("blk.0.ssm_norm.weight"), "mamba_norm_before_gate": False,
        "projectors_bias": m.has("blk.0.ssm_out.bias"),
        "attention_bias": m.has("blk.0.attn_q.bias"), "mlp_bias": m.has("blk.0.ffn_up.bias"),
    }  # fmt: skip
    m.finish()
    return facts | FOLDED
