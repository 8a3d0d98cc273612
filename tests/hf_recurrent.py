"""Configs of tiny models with recurrent states; see ``hf_families``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as t

_BASE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2,
    "bos_token_id": 318, "eos_token_id": 319, "pad_token_id": 0,
}  # fmt: skip
_ATTENTION: dict[str, Any] = {
    **_BASE, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
    "max_position_embeddings": 512,
}  # fmt: skip
_HEAD: dict[str, Any] = {"head_dim": 16}
_LATENT: dict[str, Any] = {"kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
                           "v_head_dim": 12, "num_key_value_heads": 4}  # fmt: skip
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_MAMBA2: dict[str, Any] = {
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 2,
    "mamba_expand": 2, "mamba_chunk_size": 8,
}  # fmt: skip
_DELTA: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 24,
}  # fmt: skip

RECURRENT: dict[str, Callable[[], Any]] = {
    "lfm2": lambda: t.Lfm2Config(
        **_ATTENTION, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False
    ),
    "qwen3_5_text": lambda: t.Qwen3_5TextConfig(**_ATTENTION, **_HEAD, **_DELTA),
    "granitemoehybrid": lambda: t.GraniteMoeHybridConfig(
        **_ATTENTION, **_MAMBA2, layer_types=["mamba", "attention"], num_local_experts=4,
        num_experts_per_tok=2, shared_intermediate_size=32,
    ),
    "falcon_h1": lambda: t.FalconH1Config(**_ATTENTION, **_HEAD, **_MAMBA2, mamba_d_ssm=128),
    "mamba2": lambda: t.Mamba2Config(
        **_BASE, state_size=16, num_heads=8, head_dim=16, n_groups=2, chunk_size=8
    ),
    "nemotron_h": lambda: t.NemotronHConfig(
        **{k: v for k, v in _ATTENTION.items() if k != "num_hidden_layers"}, **_HEAD, **_EXPERTS,
        layers_block_type=["linear_attention", "attention", "moe"], mamba_num_heads=8,
        mamba_head_dim=16, ssm_state_size=16, n_groups=2, chunk_size=8, n_routed_experts=4,
        moe_shared_expert_intermediate_size=32, n_group=1, topk_group=1,
    ),
    "mamba": lambda: t.MambaConfig(**_BASE, state_size=16),
    "jamba": lambda: t.JambaConfig(
        **_ATTENTION, attn_layer_period=2, attn_layer_offset=1, num_experts=4, mamba_d_state=16,
        mamba_dt_rank=8,
    ),
    "zamba": lambda: t.ZambaConfig(
        **{**_ATTENTION, "num_hidden_layers": 3}, attention_hidden_size=128, n_mamba_heads=2,
        attention_head_dim=32, mamba_d_state=16, mamba_dt_rank=8, tie_word_embeddings=False,
        layers_block_type=["mamba", "hybrid", "hybrid"],
    ),
    "zamba2": lambda: t.Zamba2Config(
        **_ATTENTION, mamba_d_state=16, n_mamba_heads=8, mamba_ngroups=2, chunk_size=8,
        layers_block_type=["mamba", "hybrid"], num_mem_blocks=1, adapter_rank=8,
    ),
    "kimi_linear": lambda: t.KimiLinearConfig(
        **{**_ATTENTION, **_LATENT}, **_EXPERTS, layer_types=["linear_attention", "full_attention"],
        linear_num_heads=4, linear_head_dim=16, num_local_experts=4, n_group=1, topk_group=1,
    ),
}  # fmt: skip
