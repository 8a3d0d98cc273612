"""What every model offers to the stages, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class ModelFacts:
    """What stages need to know of a model: sizes in tokens, layers and positions."""

    vocab_size: int
    num_layers: int
    tied_embeddings: bool


class LanguageModel(nn.Module):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    Attributes:
        facts: see ModelFacts.
        context_length: cache slots, in tokens.
        all_logits: whether logits of every position are returned, or the last one's only.
        attention_kind: what ``set_attention`` was last given.
        head_name: name of the submodule that yields the logits.
    """

    facts: ModelFacts
    context_length: int
    all_logits: bool
    attention_kind: str
    head_name: str = "head"

    def set_attention(self, kind: str) -> int:
        """Exchange the attention kind in place; returns how many layers changed."""
        raise NotImplementedError

    def input_embedding(self) -> nn.Module:
        """The module that turns tokens [B, S] into [B, S, D]."""
        raise NotImplementedError

    def init_buffers(self) -> None:
        """Fill what is computed and never loaded, and empty all caches."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        raise NotImplementedError
