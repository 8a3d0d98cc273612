"""Config of a text encoder, independent of any checkpoint's key names.

Shape legend used across ``llm_export.models.encoders``: B batch, S tokens of the longest text, D
hidden size, H query heads, K key/value heads, E head size.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.models.config import LayerConfig, NormConfig, RopeConfig

POOLINGS = ("mean", "cls", "last", "max", "weighted_mean", "mean_sqrt_length")
"""Names of ``pooling.FUNCTIONS``; importing this module does not import torch."""
ACTIVATIONS = ("identity", "tanh", "relu", "gelu", "silu", "sigmoid")
"""Names of ``pooled.FUNCTIONS``."""


@dataclass(frozen=True)
class DenseConfig:
    """A linear layer after pooling; its activation is one of ``ACTIVATIONS``."""

    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class EncoderConfig:
    """The result of a family's ``from_hf``.

    Attributes:
        max_positions: the longest text, in tokens.
        position_rows: rows of a learned table of positions; None: RoPE.
        first_position: row of the first token.
        token_types: rows of a table of token types, of which all tokens have the first; 0: none.
        embedding_norm: norm of the sum of the embeddings.
        final_norm: norm after the last layer.
        embedding_scale: factor on token embeddings.
        causal: whether a token attends only to itself and those before it. If not, the window of
            a layer reaches as far after it as before it.
        pad_id: the token that fills a batch's shorter texts.
        dense: layers after pooling.
    """

    family: str
    vocab_size: int
    hidden_size: int
    max_positions: int
    layers: tuple[LayerConfig, ...]
    ropes: tuple[RopeConfig, ...] = ()
    position_rows: int | None = None
    first_position: int = 0
    token_types: int = 0
    embedding_norm: NormConfig | None = None
    final_norm: NormConfig | None = None
    embedding_scale: float = 1.0
    causal: bool = False
    pad_id: int = 0
    dense: tuple[DenseConfig, ...] = ()

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The distinct attention windows, in order of first use."""
        found = (layer.attention for layer in self.layers)
        return tuple(dict.fromkeys(a.window for a in found if a is not None))

    @property
    def heads(self) -> tuple[int, int]:
        """(query heads, key/value heads) of every layer."""
        found = {
            (a.num_heads, a.num_kv_heads)
            for a in (layer.attention for layer in self.layers)
            if a is not None
        }
        if len(found) != 1:
            raise ValueError("layers have different numbers of heads")
        return found.pop()
