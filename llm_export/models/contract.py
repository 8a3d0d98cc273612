"""What every model offers to the stages, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.models.cache_metadata import CacheMetadata


@dataclass(frozen=True)
class ModelMetadata:
    """What stages need to know of a model: sizes in tokens, layers and positions."""

    vocab_size: int
    num_layers: int
    tied_embeddings: bool


@dataclass(frozen=True)
class ProgramForm:
    """A module to export, and inputs of the shapes that it takes."""

    module: nn.Module
    inputs: tuple[Tensor, ...]


class LanguageModel(nn.Module):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    Attributes:
        metadata: see ModelMetadata.
        context_length: cache slots, in tokens.
        all_logits: whether logits of every position are returned, or the last one's only.
        attention_kind: what ``set_attention`` was last given.
        head_name: name of the submodule that yields the logits.
        repeated_layers: name of the ModuleList whose items are called one after the other and may
            be left out of a graph; empty where that is not known.
        step_length: most tokens that one call may be given; None is as many as the context.
    """

    metadata: ModelMetadata
    context_length: int
    all_logits: bool
    attention_kind: str
    head_name: str = "head"
    repeated_layers: str = ""
    step_length: int | None = None

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        """Exchange the attention kind in place; returns how many layers changed.

        Args:
            step_length: most tokens of a step, which a ring needs to know.
            sink_tokens: first tokens that an attention_sink cache keeps.
        """
        raise NotImplementedError

    def cache_metadata(self) -> CacheMetadata:
        """What a runtime must know of the caches."""
        return CacheMetadata()

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        """What to trace for steps of ``tokens`` tokens, while the context is open. Inputs
        after tokens and input_pos, and outputs after the logits, are as ``cache_metadata`` says.
        """
        inputs = (torch.zeros(1, tokens, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
        return nullcontext(ProgramForm(self, inputs))

    def input_embedding(self) -> nn.Module:
        """The module that turns tokens [B, S] into [B, S, D]."""
        raise NotImplementedError

    def layer_chain(self) -> Sequence[nn.Module]:
        """Layers that are called as ``x = layer(x, *rest)``, each with the former one's result
        and all with the same rest, which depends on the positions of a step alone. Empty where
        that is not known."""
        return ()

    def init_buffers(self) -> None:
        """Fill what is computed and never loaded, and empty all caches."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        raise NotImplementedError


def parts_of(model: LanguageModel) -> list[nn.Module]:
    """Embedding, layers and output matrix: what a step goes through, large part by large part.
    None of a model whose layers are not known, as that of a captured graph."""
    layers = model.layer_chain()
    if not layers:
        return []
    return [model.input_embedding(), *layers, model.get_submodule(model.head_name)]
