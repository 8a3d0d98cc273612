"""A 4-bit embedding in the byte order of a 4-bit linear weight."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SwappedEmbedding(nn.Embedding):
    """tokens [B, S] -> [B, S, D], for an embedding whose channels 2i and 2i + 1 are swapped.

    ExecuTorch's ``embedding_4bit`` stores the first channel of a byte in the high half, XNNPACK in
    the low half. With the channels swapped the embedding's bytes equal those of the output head,
    so that the program stores both once.
    """

    @staticmethod
    def stands_for(table: nn.Embedding) -> SwappedEmbedding:
        """Create a replacement whose weight is set later."""
        swapped = SwappedEmbedding.__new__(SwappedEmbedding)
        nn.Module.__init__(swapped)
        swapped.__dict__.update({k: v for k, v in vars(table).items() if not k.startswith("_")})
        swapped.register_parameter("weight", None)
        return swapped

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.embedding(tokens, self.weight)
        return swap_pairs(x)


def swap_pairs(x: Tensor) -> Tensor:
    """[.., D] -> [.., D], with channels 2i and 2i + 1 swapped."""
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
