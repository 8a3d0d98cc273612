"""The model interface that stages use, whatever the implementation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.state_buffers import state_buffers

if TYPE_CHECKING:
    from llm_export.models.programs.method import Method


@dataclass(frozen=True)
class ModelMetadata:
    """Sizes of a model that stages need: tokens, layers and positions."""

    vocab_size: int
    num_layers: int
    tied_embeddings: bool


@dataclass(frozen=True)
class ProgramForm:
    """A module to export, with example inputs.

    Attributes:
        token_dims: for each of the first inputs, the dimension that has the tokens of a step.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    token_dims: tuple[int | None, ...] = (1, None)


class TextReader(nn.Module):
    """A model through which calibration text can run.

    Attributes:
        metadata: see ModelMetadata.
        context_length: most tokens of a text.
        whole_texts: whether it reads whole texts, which have the tokenizer's special tokens.
        chain_reads_tokens: whether what ``layer_chain`` calls the rest depends on the tokens of
            a step, not only on their positions.
    """

    metadata: ModelMetadata
    context_length: int
    whole_texts: bool = False
    chain_reads_tokens: bool = False

    def run_text(self, tokens: Tensor) -> Tensor:
        """What the model makes of every token of texts without padding, [B, S, N] of [B, S]."""
        raise NotImplementedError

    def layer_chain(self) -> Sequence[nn.Module]:
        """Layers called as ``x = layer(x, *rest)``, each with the previous result and all with the
        same rest, which depends on the positions of a step, and on its tokens if
        ``chain_reads_tokens``. Empty if unknown.
        """
        return ()


class LanguageModel(TextReader):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    Attributes:
        context_length: cache slots, in tokens.
        all_logits: whether logits are returned for every position or only the last.
        attention_kind: the kind of the last ``set_attention`` call.
        head_name: name of the submodule that computes the logits.
        repeated_layers: name of the ModuleList whose items are called in order and may
            be left out of a graph; empty if unknown.
        step_length: maximum tokens per call; None is the context length.
    """

    all_logits: bool
    attention_kind: str
    head_name: str = "head"
    repeated_layers: str = ""
    step_length: int | None = None

    def run_text(self, tokens: Tensor) -> Tensor:
        """Logits of every position [B, S, V], for tokens [B, S] from an empty cache."""
        wanted, self.all_logits = self.all_logits, True
        try:
            with torch.no_grad():
                found: Tensor = self(tokens, torch.zeros(1, dtype=torch.int64))
                return found
        finally:
            self.all_logits = wanted

    def text_model(self) -> LanguageModel:
        """The part that steps through text: the model itself, unless it is composed of several."""
        return self

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        """Replace the attention kind in place; returns the number of changed layers.

        Args:
            step_length: maximum tokens per step, which ring buffers need.
            sink_tokens: number of first tokens that an attention_sink cache keeps.
        """
        raise NotImplementedError

    def cache_metadata(self) -> CacheMetadata:
        """Cache properties that a runtime must know."""
        return CacheMetadata()

    def state_buffers(self) -> dict[str, int | None]:
        """See ``state_buffers.state_buffers``; names are those in the exported module."""
        return state_buffers(self)

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        """Context with the module to trace for steps of ``tokens`` tokens. ``cache_metadata``
        describes the inputs after tokens and input_pos, and the outputs after the logits.
        """
        inputs = (torch.zeros(1, tokens, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
        return nullcontext(ProgramForm(self, inputs))

    def step_values(self, tokens: Tensor, input_pos: Tensor) -> tuple[Tensor, ...]:
        """What the program of ``as_program`` takes for a step of text, without caches."""
        return tokens, input_pos

    def further_methods(self, tokens: int, *, dynamic: bool) -> Sequence[Method]:
        """Methods of the program that do not step through a text, such as a vision encoder. Names
        of parameters in their modules are those in this model.

        Args:
            tokens: maximum number of tokens of a step.
            dynamic: whether dimensions may vary.
        """
        return ()

    def input_embedding(self) -> nn.Module:
        """The module that turns tokens [B, S] into [B, S, D]."""
        raise NotImplementedError

    def token_tables(self) -> Sequence[nn.Module]:
        """All modules that look up tokens, ``input_embedding`` first."""
        return [self.input_embedding()]

    def init_buffers(self) -> None:
        """Compute all buffers that are not loaded, and empty the caches."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        raise NotImplementedError


def text_prefix(model: LanguageModel) -> str:
    """What names have before those in the ``text_model``: ``language.``, or nothing."""
    text = model.text_model()
    name = next(name for name, module in model.named_modules() if module is text)
    return f"{name}." if name else ""


def parts_of(model: LanguageModel) -> list[nn.Module]:
    """Embedding, layers and output head: the large parts that a step runs through, in order. Empty
    for models whose layers are unknown, such as a captured graph.
    """
    layers = model.layer_chain()
    if not layers:
        return []
    return [model.input_embedding(), *layers, model.get_submodule(model.head_name)]
