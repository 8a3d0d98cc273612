"""The methods of a vision-language model's program. Each module holds the model as ``model``, so
that parameters and caches have one name in all methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from llm_export.models.vision.model import VisionLanguageModel


class TextDecoder(nn.Module):
    """Embeddings [1, S, H] float32, input_pos [1] -> logits [1, S or 1, V]."""

    def __init__(self, model: VisionLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, input_pos: Tensor) -> Tensor:
        return self.model.decode(embeddings, input_pos)


class TokenEmbedding(nn.Module):
    """Tokens [1, S] int64 -> embeddings [1, S, H] float32."""

    def __init__(self, model: VisionLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.embed_tokens(tokens)


class VisionEncoder(nn.Module):
    """Pixels [1, 3, h, w] float32 -> embeddings [1, n, H] float32."""

    def __init__(self, model: VisionLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.encode_image(pixels)
