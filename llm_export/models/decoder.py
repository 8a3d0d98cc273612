"""The composable decoder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from llm_export.models import cache_io
from llm_export.models.cache_metadata import CacheMetadata, Rewind
from llm_export.models.components.attention_cores import (
    KINDS,
    CacheLimits,
    CoreFactory,
    CoreShape,
    Ring,
)
from llm_export.models.components.attention_cores.layout import rewind_limits
from llm_export.models.components.layer_inputs import LayerInputs
from llm_export.models.components.mixers.state import Mixer
from llm_export.models.components.query_scale import QueryScaleTable
from llm_export.models.components.registry import BLOCKS, NORMS
from llm_export.models.components.rope import RotaryTables
from llm_export.models.components.step import CacheTensors, Planned, Step
from llm_export.models.config import DecoderConfig
from llm_export.models.contract import LanguageModel, ModelMetadata, ProgramForm


def reads_tokens(config: DecoderConfig) -> bool:
    """Whether layers get more from a step's tokens than the residual stream."""
    lends = any(attention.lends is not None for attention in config.attentions)
    return lends or config.layer_inputs is not None


class Decoder(LanguageModel):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    ``all_logits`` returns the logits of every position. A program for generation needs only the
    last one's, which saves the work of the output head during prefill, and that of the last layers
    if they keep nothing for later steps.
    """

    repeated_layers = "layers"

    def __init__(
        self, config: DecoderConfig, context_length: int, attention: str, all_logits: bool
    ) -> None:
        super().__init__()
        self.config = config
        self.chain_reads_tokens = reads_tokens(config)
        self.context_length = context_length
        self.all_logits = all_logits
        self.metadata = ModelMetadata(config.vocab_size, config.num_layers, config.tied_embeddings)
        core = self._choose(attention)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layer_inputs: LayerInputs | None = None
        if config.layer_inputs is not None:
            hidden, beside = config.hidden_size, config.layer_inputs
            self.layer_inputs = LayerInputs(hidden, beside, config.norm)
        self.ropes = nn.ModuleList(RotaryTables(rope, context_length) for rope in config.ropes)
        scale = config.query_scale
        changes = scale is not None and scale.changes(context_length)
        self.query_scale = QueryScaleTable(scale, context_length) if scale and changes else None
        self.planner = KINDS[attention].planner(self.rings)
        self.layers = nn.ModuleList(
            BLOCKS.get(layer.kind)(config.hidden_size, layer, core) for layer in config.layers
        )
        for number, layer in enumerate(self.layers):
            layer.set_number(number)  # type: ignore[operator]
            layer.serves_logits = number >= config.keeping_layers  # type: ignore[assignment]
        self._prepare_mixers()
        self.norm = NORMS.get(config.norm.kind)(config.hidden_size, config.norm)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)

    def _choose(self, kind: str, step_length: int | None = None, sinks: int = 0) -> CoreFactory:
        limits = CacheLimits(self.context_length, step_length or self.context_length, sinks)
        layout, core = KINDS[kind].layout(limits), KINDS[kind].core
        self.attention_kind = kind
        self.rings: dict[int | None, Ring] = {w: layout(w) for w in self.config.windows}
        self.step_length = limits.step
        return lambda shape: core(shape, layout)

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        core = self._choose(kind, step_length, sink_tokens)
        for layer in self.layers:
            attention = layer.attention
            # None also where the layer attends to what another one keeps.
            shape = None if attention is None else attention.core_shape  # type: ignore[union-attr]
            if shape is not None:
                assert isinstance(shape, CoreShape)
                attention.core = core(shape)  # type: ignore[union-attr]
        self._prepare_mixers()
        self.planner = KINDS[kind].planner(self.rings)
        self.init_buffers()
        return len(self.layers)

    def _prepare_mixers(self) -> None:
        for module in self.modules():
            if isinstance(module, Mixer):
                operators = KINDS[self.attention_kind].operators
                module.prepare(operators=operators, longest=self.step_length or 1)

    def cache_metadata(self) -> CacheMetadata:
        recurrent = bool(self.config.mixers)
        limits = (0, 0) if recurrent else rewind_limits(self.rings)
        return CacheMetadata(
            rewind=None if limits is None else Rewind(*limits),
            recurrent=True if recurrent else None,
            attention_sink=True if self.attention_kind == "attention_sink" else None,
            cache_io=cache_io.cache_inputs(self) if self.attention_kind == "static_io" else None,
        )

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        if self.attention_kind != "static_io":
            return super().as_program(tokens)
        return cache_io.program_form(self, tokens)

    def input_embedding(self) -> nn.Module:
        return self.embed

    def token_tables(self) -> Sequence[nn.Module]:
        tables = [self.embed]
        return tables if self.layer_inputs is None else [*tables, self.layer_inputs.table]

    def layer_chain(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def init_buffers(self) -> None:
        for name, module in self.named_modules():
            fill = getattr(module, "init_buffers", None)
            if name and fill is not None:
                fill()

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[B, S] int64 -> [B, S, D], what the first layer gets."""
        x: Tensor = self.embed(tokens)
        scale = self.config.embedding_scale
        return x if scale == 1.0 else x * scale

    def forward(
        self,
        tokens: Tensor,
        input_pos: Tensor,
        rope_positions: Tensor | None = None,
        additions: Tensor | None = None,
        attend_until: Tensor | None = None,
    ) -> Tensor:
        """``tokens`` may be embeddings instead, [B, S, D] as ``embed_tokens`` returns them, if
        layers read nothing else of the tokens.

        Args:
            rope_positions: [streams, S], the positions to rotate by if they are not those of the
                cache; see ``RopeConfig.streams``.
            additions: see ``Step``.
            attend_until: [S] int64, the last position that each token attends to, if it is not
                its own: at most the last one of the step.
        """
        positions = input_pos + torch.arange(tokens.shape[1], device=tokens.device)
        until = () if attend_until is None else (attend_until,)
        planned = self.planner(input_pos, positions, *until)
        if rope_positions is not None:
            planned = planned._replace(rotary=rope_positions)
        follows = each = None
        if self.config.mixers:
            follows, each = ((x > 0).to(torch.float32) for x in (input_pos, positions))
        return self.run(tokens, planned, follows=follows, each_follows=each, additions=additions)

    def run(
        self,
        tokens: Tensor,
        planned: Planned,
        caches: CacheTensors | None = None,
        follows: Tensor | None = None,
        each_follows: Tensor | None = None,
        additions: Tensor | None = None,
    ) -> Tensor:
        """The forward pass, given the step's cache slots and masks; see ``Step``.

        Args:
            tokens: or embeddings, as in ``forward``.
        """
        rotations = tuple(rope(planned.rotary) for rope in self.ropes)
        places = planned.cached_rotary
        cached = () if places is None else tuple(rope(places) for rope in self.ropes)
        scale = None if self.query_scale is None else self.query_scale(planned.rotary)
        x = tokens if tokens.is_floating_point() else self.embed_tokens(tokens)
        beside = None if self.layer_inputs is None else self.layer_inputs(tokens, x)
        step = Step(
            planned.plans, rotations, cached, planned.start, caches, follows=follows,
            each_follows=each_follows, query_scale=scale, lent={}, layer_inputs=beside,
            additions=additions,
        )  # fmt: skip
        wide = not self.all_logits  # x has more positions than the logits
        for layer in self.layers:
            if wide and layer.serves_logits:
                x, step, wide = x[:, -1:], step.last(), False
            x = layer(x, step)
            if step.additions is not None and layer.addition is not None:
                x = layer.addition(x, step.additions)  # type: ignore[operator]
        if wide:
            x = x[:, -1:]
        logits = self.head(self.norm(x))
        if logits.dtype != torch.float32:
            # Runtimes sample in float32, whatever dtype the model computes in.
            logits = logits.float()
        if self.config.logit_scale != 1.0:
            logits = logits * self.config.logit_scale
        if self.config.logit_softcap is not None:
            logits = torch.tanh(logits / self.config.logit_softcap) * self.config.logit_softcap
        return logits
