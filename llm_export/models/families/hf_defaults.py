"""Values that transformers 5 takes for keys which a config.json leaves out.

Only where they differ from what the key's absence means elsewhere: no window, no cap, as many
key/value heads as query heads, a head size of hidden size / heads. An explicit null keeps that
meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_QWEN = {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}
_DELTA = {
    "head_dim": 256, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
}  # fmt: skip

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bitnet": {"num_key_value_heads": 5},
    "deepseek_v3": {"num_key_value_heads": 128},
    "ernie4_5": {"num_key_value_heads": 2, "head_dim": 128},
    "ernie4_5_moe": {"num_key_value_heads": 4},
    "dots1": {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 62},
    "cohere2": {"sliding_window": 4096},
    "exaone4": {"num_key_value_heads": 32, "sliding_window": 4096, "sliding_window_pattern": 4},
    "bamba": {"num_key_value_heads": 8},
    "falcon_h1": {"num_key_value_heads": 8},
    "gemma": {"num_key_value_heads": 16, "head_dim": 256},
    "gemma2": {
        "num_key_value_heads": 4, "head_dim": 256, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {"num_key_value_heads": 4, "head_dim": 256},
    "glm4_moe": {"num_key_value_heads": 8},
    "glm4_moe_lite": {"num_key_value_heads": 20, "q_lora_rank": 768},
    "glm4": {"num_key_value_heads": 2, "head_dim": 128},
    "gemma4_text": {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 512},
    "gpt_oss": {"num_key_value_heads": 8, "head_dim": 64},
    "lfm2": {"num_key_value_heads": 8},
    "lfm2_moe": {"num_key_value_heads": 8},
    "lfm3": {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 256},
    "ministral3": {"num_key_value_heads": 8, "head_dim": 128},
    "granite_swa": {"num_key_value_heads": 4, "sliding_window": 128},
    "granitemoehybrid": {"num_local_experts": 8, "shared_intermediate_size": 1024},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "mixtral": {"num_key_value_heads": 8},
    "olmo3": {"sliding_window": 4096},
    "nemotron_h": {"num_key_value_heads": 8},
    "qwen2": _QWEN,
    "qwen2_moe": {"num_key_value_heads": 16, "sliding_window": 4096, "max_window_layers": 28},
    "qwen3": {**_QWEN, "head_dim": 128},
    "qwen3_5_text": {"num_key_value_heads": 4, **_DELTA},
    "qwen3_5_moe_text": {"num_key_value_heads": 2, **_DELTA},
    "qwen3_moe": {"num_key_value_heads": 4, "sliding_window": 4096},
    "seed_oss": {"num_key_value_heads": 8, "head_dim": 128},
    "smollm3": {"num_key_value_heads": 4},
    "stablelm": {"num_key_value_heads": 32},
    "starcoder2": {"num_key_value_heads": 2},
}  # fmt: skip
"""Family -> key -> value."""
