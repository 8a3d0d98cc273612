"""Tensor names shared by the Hugging Face checkpoints of many families."""

from __future__ import annotations

from llm_export.models.families.keymap import Split

L, D = "model.layers.{i}", "layers.{i}"

EMBED = [("model.embed_tokens.weight", "embed.weight")]
HEAD = [("model.norm.{leaf}", "norm.{leaf}"), ("lm_head.{leaf}", "head.{leaf}")]

QKV = [(f"{L}.self_attn.{x}_proj.{{leaf}}", f"{D}.attention.qkv.{x}.{{leaf}}") for x in "qkv"]
OUT = [(f"{L}.self_attn.o_proj.{{leaf}}", f"{D}.attention.out.{{leaf}}")]
QK_NORM = [(f"{L}.self_attn.{x}_norm.weight", f"{D}.attention.{x}_norm.weight") for x in "qk"]
ATTENTION = QKV + OUT

GATED = [
    (f"{L}.mlp.gate_proj.{{leaf}}", f"{D}.feed_forward.gate_up.gate.{{leaf}}"),
    (f"{L}.mlp.up_proj.{{leaf}}", f"{D}.feed_forward.gate_up.up.{{leaf}}"),
    (f"{L}.mlp.down_proj.{{leaf}}", f"{D}.feed_forward.down.{{leaf}}"),
]
PLAIN = [
    (f"{L}.mlp.up_proj.{{leaf}}", f"{D}.feed_forward.up.{{leaf}}"),
    (f"{L}.mlp.down_proj.{{leaf}}", f"{D}.feed_forward.down.{{leaf}}"),
]
"""A feed-forward network without a gate."""

PRE_NORM = [
    (f"{L}.input_layernorm.{{leaf}}", f"{D}.attention_norm.{{leaf}}"),
    (f"{L}.post_attention_layernorm.{{leaf}}", f"{D}.ffn_norm.{{leaf}}"),
]
POST_NORM = [
    (f"{L}.post_attention_layernorm.weight", f"{D}.attention_post_norm.weight"),
    (f"{L}.post_feedforward_layernorm.weight", f"{D}.ffn_post_norm.weight"),
]
SANDWICH_NORM = [
    (f"{L}.input_layernorm.weight", f"{D}.attention_norm.weight"),
    (f"{L}.post_attention_layernorm.weight", f"{D}.attention_post_norm.weight"),
    (f"{L}.pre_feedforward_layernorm.weight", f"{D}.ffn_norm.weight"),
    (f"{L}.post_feedforward_layernorm.weight", f"{D}.ffn_post_norm.weight"),
]

_E = f"{D}.feed_forward.experts.{{e}}"


def experts(where: str, gate: str, up: str, down: str) -> list[tuple[str, str]]:
    """Names of experts that are stored separately."""
    return [
        (f"{L}.{where}.experts.{{e}}.{gate}.weight", f"{_E}.gate_up.gate.weight"),
        (f"{L}.{where}.experts.{{e}}.{up}.weight", f"{_E}.gate_up.up.weight"),
        (f"{L}.{where}.experts.{{e}}.{down}.weight", f"{_E}.down.weight"),
        (f"{L}.{where}.gate.weight", f"{D}.feed_forward.router.gate.weight"),
    ]


FUSED_QKV = Split(
    f"{L}.self_attn.qkv_proj.{{leaf}}",
    tuple(f"{D}.attention.qkv.{x}.{{leaf}}" for x in "qkv"),
)
FUSED_GATE_UP = Split(
    f"{L}.mlp.gate_up_proj.{{leaf}}",
    tuple(f"{D}.feed_forward.gate_up.{x}.{{leaf}}" for x in ("gate", "up")),
)

POST_NORMED = EMBED + ATTENTION + QK_NORM + POST_NORM + GATED + HEAD
COMMON = EMBED + ATTENTION + PRE_NORM + HEAD
LLAMA = COMMON + GATED

ROTARY_TABLES = r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
"""Old checkpoints contain a tensor that is computed from the config."""
