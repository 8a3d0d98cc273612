"""A 4-bit table in the byte order of a 4-bit matrix."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SwappedEmbedding(nn.Embedding):
    """tokens [B, S] -> [B, S, D], of a table whose channels 2i and 2i + 1 are exchanged.

    ExecuTorch's ``embedding_4bit`` has the first channel of a byte in its high half, XNNPACK
    in its low half. With the channels exchanged the table's bytes are those of the output
    matrix, so that the program can hold both in one.
    """

    @staticmethod
    def stands_for(table: nn.Embedding) -> SwappedEmbedding:
        """With the weight still to be set."""
        swapped = SwappedEmbedding.__new__(SwappedEmbedding)
        nn.Module.__init__(swapped)
        swapped.__dict__.update({k: v for k, v in vars(table).items() if not k.startswith("_")})
        swapped.register_parameter("weight", None)
        return swapped

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.embedding(tokens, self.weight)
        return swap_pairs(x)


def swap_pairs(x: Tensor) -> Tensor:
    """[.., D] -> [.., D], with channels 2i and 2i + 1 exchanged."""
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
