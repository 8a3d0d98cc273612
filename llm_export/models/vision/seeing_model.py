"""The interface of models that see, whatever their implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.contract import LanguageModel
from llm_export.models.vision.config import Size
from llm_export.models.vision.step_inputs import StepInput


class ImageConfig(Protocol):
    """What is known of a model's images; see ``VisionConfig``."""

    @property
    def image_size(self) -> Size: ...
    @property
    def tokens_per_image(self) -> int: ...
    @property
    def image_token_id(self) -> int: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


class SeeingModel(LanguageModel):
    """``forward`` is that of the decoder, for text alone. For images, the decoder gets embeddings:
    of tokens by ``embed_tokens``, of an image by ``encode_image``.

    Attributes:
        language: the decoder.
        step_inputs: further inputs of a step.
    """

    config: ImageConfig
    language: LanguageModel
    step_inputs: tuple[StepInput, ...] = ()

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[B, S] int64 -> [B, S, H] float32."""
        raise NotImplementedError

    def encode_image(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[B, 3, h, w] of the configured size -> [B, n, H] float32, and what ``deepstack`` adds."""
        raise NotImplementedError

    def decode(self, embeddings: Tensor, input_pos: Tensor, *further: Tensor) -> Tensor:
        """[B, S, H] float32, input_pos [1], ``step_inputs`` -> logits [B, S or 1, V]."""
        raise NotImplementedError

    def whole_logits(
        self, before: Sequence[int], pixels: Tensor, after: Sequence[int]
    ) -> Tensor | None:
        """Logits [S, V] of an image between two texts by one call of a model that takes both; None
        if there is no such call.
        """
        return None

    @property
    def all_logits(self) -> bool:
        return self.language.all_logits

    @all_logits.setter
    def all_logits(self, value: bool) -> None:
        self.language.all_logits = value

    @property
    def attention_kind(self) -> str:  # type: ignore[override]
        return self.language.attention_kind

    @property
    def step_length(self) -> int | None:  # type: ignore[override]
        return self.language.step_length

    def text_model(self) -> LanguageModel:
        return self.language

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        return self.language.set_attention(kind, step_length=step_length, sink_tokens=sink_tokens)

    def cache_metadata(self) -> CacheMetadata:
        return self.language.cache_metadata()

    def input_embedding(self) -> nn.Module:
        return self.language.input_embedding()

    def token_tables(self) -> Sequence[nn.Module]:
        return self.language.token_tables()

    def layer_chain(self) -> Sequence[nn.Module]:
        return self.language.layer_chain()

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        logits: Tensor = self.language(tokens, input_pos)
        return logits

    def step_values(self, tokens: Tensor, input_pos: Tensor) -> tuple[Tensor, ...]:
        further = [each.of_text(tokens.shape[1], input_pos) for each in self.step_inputs]
        return (self.embed_tokens(tokens), input_pos, *further)

    def example_pixels(self, channels: int = 3) -> Tensor:
        return torch.zeros(1, channels, *self.config.image_size)
