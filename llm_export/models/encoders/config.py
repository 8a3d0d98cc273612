"""Config of a text encoder, independent of any checkpoint's key names.

Shape legend used across ``llm_export.models.encoders``: B batch, S tokens of the longest text, D
hidden size, H query heads, K key/value heads, E head size.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.models.config import LayerConfig, NormConfig, RopeConfig


@dataclass(frozen=True)
class DenseConfig:
    """A linear layer after pooling; its activation is a name from ``pooled.ACTIVATIONS``."""

    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class SentenceConfig:
    """What follows the encoder.

    Attributes:
        pooling: names from ``pooling.POOLINGS``, whose results are concatenated; empty: the
            checkpoint does not say.
        normalize: whether vectors have length 1.
    """

    pooling: tuple[str, ...] = ()
    normalize: bool = False
    dense: tuple[DenseConfig, ...] = ()


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
    """

    family: str
    vocab_size: int
    hidden_size: int
    max_positions: int
    layers: tuple[LayerConfig, ...]
    sentence: SentenceConfig
    ropes: tuple[RopeConfig, ...] = ()
    position_rows: int | None = None
    first_position: int = 0
    token_types: int = 0
    embedding_norm: NormConfig | None = None
    final_norm: NormConfig | None = None
    embedding_scale: float = 1.0
    causal: bool = False
    pad_id: int = 0

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The distinct attention windows, in order of first use."""
        found = (layer.attention for layer in self.layers)
        return tuple(dict.fromkeys(a.window for a in found if a is not None))

    @property
    def pooled_size(self) -> int:
        """Channels of the pooled vector: what the first dense layer reads."""
        return self.hidden_size * max(len(self.sentence.pooling), 1)

    @property
    def dimensions(self) -> int:
        """Channels of an uncut embedding."""
        dense = self.sentence.dense
        return dense[-1].outputs if dense else self.pooled_size
