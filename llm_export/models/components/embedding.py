"""An embedding stored in a different dtype than the model computes in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CastEmbedding(nn.Embedding):
    """[B, S] -> [B, S, D] in ``dtype``, cast after the lookup, whatever the weight's dtype.

    It keeps the name and the weight of the embedding that it replaces.
    """

    def __init__(self, base: nn.Embedding, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = base.num_embeddings, base.embedding_dim
        self.padding_idx = base.padding_idx
        self.weight = base.weight
        self.dtype = dtype

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight).to(self.dtype)
