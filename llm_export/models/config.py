"""Facts about a decoder, independent of any checkpoint's key names.

Shape legend used across ``llm_export.models``:
B batch, S tokens in this step, T cache slots (context length), D hidden size,
H query heads, K key/value heads, E head size, F feed-forward size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ROPE_SCALINGS: dict[str, tuple[str, ...]] = {
    "none": (),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
"""RoPE scaling -> the numbers that it needs. The formulas are in ``components.rope``."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (RoFormer, arXiv:2104.09864).

    ``scaling`` is a key of ROPE_SCALINGS; ``scaling_args`` are
    that entry's own numbers, all required, none defaulted.
    """

    theta: float
    head_dim: int
    scaling: str = "none"
    scaling_args: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DecoderConfig:
    """A pre-norm decoder: what a family's ``from_hf`` returns."""

    family: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    max_positions: int
    norm_eps: float
    rope: RopeConfig
    tied_embeddings: bool
    activation: str = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_attention_heads={self.num_heads} is not a multiple of "
                f"num_key_value_heads={self.num_kv_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim={self.head_dim} is odd; RoPE rotates pairs of channels")
