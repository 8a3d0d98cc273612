"""The methods of a vision-language model's program. Parameters and caches have the names that they
have in the model, so that methods share them; a module holds no others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.cache_io import cache_dtype
from llm_export.models.decoder import Decoder


def compute_dtype(part: nn.Module) -> torch.dtype:
    """The dtype that a part computes in: that of its norms, which are never quantized."""
    return next(p.dtype for name, p in part.named_parameters() if "norm" in name)


class TextDecoder(nn.Module):
    """Embeddings [1, S, H] float32, input_pos [1], the model's ``step_inputs`` -> logits
    [1, S or 1, V].
    """

    def __init__(self, language: Decoder) -> None:
        super().__init__()
        self.language = language

    def forward(
        self,
        embeddings: Tensor,
        input_pos: Tensor,
        rope_positions: Tensor | None = None,
        deepstack: Tensor | None = None,
    ) -> Tensor:
        dtype = cache_dtype(self.language)
        additions = None if deepstack is None else deepstack.to(dtype)
        logits: Tensor = self.language(embeddings.to(dtype), input_pos, rope_positions, additions)
        return logits


class BlockTextDecoder(nn.Module):
    """The same for a decoder in which tokens of an image attend to each other in both directions:
    embeddings [1, S, H], input_pos [1], attend_until [S].
    """

    def __init__(self, language: Decoder) -> None:
        super().__init__()
        self.language = language

    def forward(
        self, embeddings: Tensor, input_pos: Tensor, attend_until: Tensor | None = None
    ) -> Tensor:
        x = embeddings.to(cache_dtype(self.language))
        logits: Tensor = self.language(x, input_pos, attend_until=attend_until)
        return logits


class TokenEmbedding(nn.Module):
    """Tokens [1, S] int64 -> embeddings [1, S, H] float32, as the first layer gets them."""

    def __init__(self, language: Decoder) -> None:
        super().__init__()
        self.language = nn.ModuleDict({"embed": language.embed})
        self.scale = language.config.embedding_scale

    def forward(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.language["embed"](tokens)
        return (embedded if self.scale == 1.0 else embedded * self.scale).float()


class VisionEncoder(nn.Module):
    """Pixels [1, 3, h, w] float32 -> embeddings [1, n, H] float32;
    of a model with DeepStack also what is added after the decoder's first layers, [N, 1, n, H].
    """

    def __init__(self, tower: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.tower, self.projector = tower, projector

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        embedded = self.projector(self.tower(pixels.to(compute_dtype(self.tower))))
        if isinstance(embedded, tuple):
            embeddings, additions = embedded
            return embeddings.float(), additions.float()
        only: Tensor = embedded.float()
        return only
