"""A torchtune decoder with the LanguageModel interface."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.torchtune_package import load_torchtune
from llm_export.models.components.attention_cores import KINDS, CacheLimits
from llm_export.models.components.step import Step
from llm_export.models.contract import LanguageModel, ModelMetadata
from llm_export.models.torchtune.architecture import Architecture
from llm_export.models.torchtune.attention import CoreAttention, shape_of


class TorchtuneModel(LanguageModel):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    The layers, norms and embeddings are torchtune's. The kind "cacheless" runs torchtune's own
    ``TransformerDecoder.forward`` with its own attention; the other kinds keep its modules and
    replace each layer's attention by an exportable one.
    """

    def __init__(
        self, arch: Architecture, context_length: int, attention: str, all_logits: bool
    ) -> None:
        super().__init__()
        decoder = build(arch, context_length)
        self.arch = arch
        self.context_length = context_length
        self.all_logits = all_logits
        self.metadata = ModelMetadata(arch.vocab_size, arch.num_layers, arch.tied_embeddings)
        self.embed: nn.Module = decoder.tok_embeddings
        self.layers: nn.ModuleList = decoder.layers
        # torchtune's gemma2 caps the last hidden state; the model (arXiv:2408.00118) and
        # transformers cap the logits. So only the norm is used, and forward applies the cap.
        self.norm: nn.Module = getattr(decoder.norm, "rms_norm", decoder.norm)
        decoder.norm = self.norm
        self.head = nn.Linear(arch.hidden_size, arch.vocab_size, bias=False)
        # Not registered, because their children are already registered under the names above.
        self._decoder = (decoder,)
        self._attentions = tuple(layer.attn for layer in decoder.layers)
        if not arch.tied_embeddings:
            decoder.output = self.head
        self._exchange(attention)

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        self._exchange(kind)
        self.init_buffers()
        return len(self.layers)

    def _exchange(self, kind: str) -> None:
        chosen = KINDS[kind]
        layout = chosen.layout(CacheLimits(self.context_length, self.context_length))
        shapes = [shape_of(original) for original in self._attentions]
        for layer, original, shape in zip(self.layers, self._attentions, shapes, strict=True):
            if kind == "cacheless":
                layer.attn = original
            else:
                layer.attn = CoreAttention(original, chosen.core(shape, layout))
        self.planner = chosen.planner({shape.window: layout(shape.window) for shape in shapes})
        self.attention_kind = kind

    def tie(self) -> None:
        """Share the embedding's weight with the output head, if the architecture ties them."""
        if self.arch.tied_embeddings:
            self.head.weight = self.embed.weight  # type: ignore[assignment]

    def input_embedding(self) -> nn.Module:
        return self.embed

    def init_buffers(self) -> None:
        for module in self.modules():
            if module is self:
                continue
            rope_init = getattr(module, "rope_init", None)
            fill = getattr(module, "init_buffers", None)
            if rope_init is not None:
                for key, value in self.arch.rope.items():
                    setattr(module, key, value)
                with torch.device("cpu"):
                    rope_init()
            elif fill is not None:
                fill()

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        positions = input_pos + torch.arange(tokens.shape[1], device=tokens.device)
        if self.attention_kind == "cacheless":
            logits = self._decoder[0](tokens, input_pos=positions[None])
            return self._capped(logits if self.all_logits else logits[:, -1:])
        planned = self.planner(input_pos, positions)
        # No rotations: torchtune's rotary modules have their own tables.
        step = Step(planned.plans, (), start=planned.start)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, mask=step, input_pos=positions)
        if not self.all_logits:
            x = x[:, -1:]
        return self._capped(self.head(self.norm(x)))

    def _capped(self, logits: Tensor) -> Tensor:
        if self.arch.softcap is None:
            return logits
        cap = self.arch.softcap[1]
        return torch.tanh(logits / cap) * cap


def build(arch: Architecture, context_length: int) -> Any:
    """torchtune's own TransformerDecoder, an nn.Module, created by its builder.

    Raises:
        MissingDependencyError: torchtune is not installed.
    """
    load_torchtune()
    module, _, function = arch.builder.partition(":")
    builder = getattr(importlib.import_module(module), function)
    return builder(**arch.arguments, max_seq_len=context_length)


def build_on_meta(
    arch: Architecture, context_length: int, attention: str, all_logits: bool
) -> TorchtuneModel:
    """Build the model on meta: parameters and buffers have shapes but no memory."""
    with torch.device("meta"):
        model = TorchtuneModel(arch, context_length, attention, all_logits)
    model.tie()
    return model.eval().requires_grad_(False)
