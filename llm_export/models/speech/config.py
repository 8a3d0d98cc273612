"""Configs of the families of speech models."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.models.config import FeedForwardConfig, NormConfig, RopeConfig

LAYER_NORM = NormConfig(1e-5, kind="layer", bias=True)


@dataclass(frozen=True)
class StackConfig:
    """The layers of an encoder or a decoder.

    Attributes:
        bias: whether projections of queries, values and output have a bias.
        key_bias: whether that of keys has one.
        out_bias: whether that of the output has one.
        rope: of the self-attention, over channels in pairs (0, 1), (2, 3), ...; None: there is
            none.
    """

    layers: int
    hidden: int
    heads: int
    ffn: FeedForwardConfig
    norm: NormConfig
    bias: bool
    key_bias: bool
    out_bias: bool
    rope: RopeConfig | None = None

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"{self.hidden} channels do not divide into {self.heads} heads")

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class WhisperConfig:
    """
    Attributes:
        mel_bands: of the spectrogram.
        source_positions: the encoder's outputs, two frames of the spectrogram each.
        target_positions: most tokens of an answer, with those before it.
    """

    vocab_size: int
    mel_bands: int
    source_positions: int
    target_positions: int
    encoder: StackConfig
    decoder: StackConfig
    tied: bool


@dataclass(frozen=True)
class MoonshineConfig:
    """
    Attributes:
        target_positions: most tokens of an answer, with those before it.
    """

    vocab_size: int
    target_positions: int
    encoder: StackConfig
    decoder: StackConfig
    tied: bool
    start_id: int
    eos_ids: tuple[int, ...]
