"""Tiny models of families that transformers implements, with logits that are far apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as t
from hf_recurrent import RECURRENT

_IDS: dict[str, Any] = {"bos_token_id": 318, "eos_token_id": 319, "pad_token_id": 0}
_NAMES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 512, **_IDS,
}  # fmt: skip
_GATED: dict[str, Any] = {
    **_NAMES, "intermediate_size": 96, "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip
_SHORT: dict[str, Any] = {
    "vocab_size": 320, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, **_IDS,
}  # fmt: skip
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "sliding_window": None}

CONFIGS: dict[str, Callable[[], Any]] = {
    "gpt_neox": lambda: t.GPTNeoXConfig(**_NAMES, intermediate_size=96),
    "opt": lambda: t.OPTConfig(**_NAMES, ffn_dim=96, word_embed_proj_dim=64),
    "falcon": lambda: t.FalconConfig(
        **_NAMES, new_decoder_architecture=True, num_kv_heads=2, alibi=False
    ),
    "falcon alibi": lambda: t.FalconConfig(**_NAMES, alibi=True, multi_query=False),
    "cohere": lambda: t.CohereConfig(
        **_NAMES, intermediate_size=96, num_key_value_heads=2
    ),
    "glm4": lambda: t.Glm4Config(**_GATED),
    "mpt": lambda: t.MptConfig(
        d_model=64, n_heads=4, n_layers=2, max_seq_len=512, vocab_size=320, **_IDS
    ),
    "bloom": lambda: t.BloomConfig(
        vocab_size=320, hidden_size=64, n_layer=2, n_head=4, **_IDS
    ),
    "gpt2": lambda: t.GPT2Config(**_SHORT),
    "llama": lambda: t.LlamaConfig(**_GATED),
    "mistral": lambda: t.MistralConfig(**_GATED, sliding_window=16),
    "mixtral": lambda: t.MixtralConfig(**_GATED, num_local_experts=4, **_EXPERTS),
    "qwen3_moe": lambda: t.Qwen3MoeConfig(
        **_GATED, num_experts=4, moe_intermediate_size=48, **_EXPERTS
    ),
    "gemma2": lambda: t.Gemma2Config(
        **_GATED, sliding_window=16, query_pre_attn_scalar=16
    ),
    "gemma3_text": lambda: t.Gemma3TextConfig(
        **_GATED, sliding_window=16, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"]
    ),
    "gpt_oss": lambda: t.GptOssConfig(
        **{**_GATED, "intermediate_size": 64}, num_local_experts=4, num_experts_per_tok=2,
        sliding_window=16
    ),
    "deepseek_v3": lambda: t.DeepseekV3Config(
        **{**_NAMES, "num_key_value_heads": 4}, intermediate_size=96, moe_intermediate_size=32,
        n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, q_lora_rank=24,
        kv_lora_rank=16, qk_rope_head_dim=8, v_head_dim=12, qk_nope_head_dim=16,
        first_k_dense_replace=1
    ),
    "deepseek_v32": lambda: t.DeepseekV32Config(
        **{**_NAMES, "num_key_value_heads": 4}, intermediate_size=96, moe_intermediate_size=32,
        n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, q_lora_rank=24,
        kv_lora_rank=16, qk_rope_head_dim=8, v_head_dim=12, qk_nope_head_dim=16,
        first_k_dense_replace=1, index_topk=12, index_head_dim=16,
        index_n_heads=32  # with few, all may give a position zero, and ties have no order
    ),
    "roberta": lambda: t.RobertaConfig(
        **{**_NAMES, "pad_token_id": 1}, intermediate_size=96, is_decoder=True
    ),
    "gpt_neo": lambda: t.GPTNeoConfig(
        vocab_size=320, hidden_size=64, num_layers=2, num_heads=4, intermediate_size=96,
        max_position_embeddings=512, attention_types=[[["global", "local"], 1]], window_size=16,
        **_IDS
    ),
    **RECURRENT,
}  # fmt: skip


def build(family: str, seed: int = 0, **changes: Any) -> Any:
    """A random float32 model; embeddings have unit spread, matrices keep that of their input.

    Args:
        changes: attributes of the config, under the names that all configs have.
    """
    torch.manual_seed(seed)
    config = CONFIGS[family]()
    for key, value in changes.items():
        setattr(config, key, value)
    model = t.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                table = any(word in name for word in ("embed", "wte", "wpe"))
                parameter.normal_(std=1.0 if table else parameter.shape[-1] ** -0.5)
    return model.float().eval()
