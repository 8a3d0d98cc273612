"""Wrap a captured graph as a language model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

from llm_export.json_data import to_json
from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.contract import LanguageModel, ProgramForm
from llm_export.quant.nodes import modules_of
from runtime_py.cache_io import OutsideCaches

_BEHIND_LOOKUP = "behind_lookup"
_LOOKUPS = ("aten.embedding", "aten.index_select")


class GraphModel(LanguageModel):
    """A model that runs a graph of ``origin``, including all later changes to the graph.

    tokens [1, S], input_pos [1] -> logits [1, S or 1, V]. It keeps the caches itself if the
    program takes them as inputs.

    Args:
        graph: of the module in ``form``, with empty caches.
        limit: most tokens of a step; the only length where shapes are fixed.
    """

    def __init__(
        self, graph: GraphModule, origin: LanguageModel, form: ProgramForm, limit: int
    ) -> None:
        super().__init__()
        self.metadata, self.context_length = origin.metadata, origin.context_length
        self.all_logits, self.attention_kind = origin.all_logits, origin.attention_kind
        self.head_name, self.step_length = origin.head_name, origin.step_length
        self.graph = graph
        self._has_all = origin.all_logits
        self._limit = limit
        self._inputs, self._cache_metadata = form.inputs, origin.cache_metadata()
        self._state_buffers = origin.state_buffers()
        self._table = lambda: _name_of(origin.input_embedding(), form.module)
        self._given = lambda tokens, position: origin.step_values(tokens, position)
        self._outside: OutsideCaches | None = None
        # Copied now: the contents of an empty cache depend on its kind.
        self._empty = {n: b.clone() for n, b in graph.named_buffers() if "cache" in n}
        self.init_buffers()

    def cache_metadata(self) -> CacheMetadata:
        return self._cache_metadata

    def state_buffers(self) -> dict[str, int | None]:
        return self._state_buffers

    def as_program(self, tokens: int) -> AbstractContextManager[ProgramForm]:
        return nullcontext(ProgramForm(self.graph, self._inputs))

    def init_buffers(self) -> None:
        """Empty the caches; all other buffers are part of the graph."""
        for name, empty in self._empty.items():
            self.graph.get_buffer(name).copy_(empty)
        taken = self._cache_metadata.cache_io
        self._outside = (
            None if taken is None else OutsideCaches(to_json(taken), self.context_length)
        )

    def input_embedding(self) -> nn.Module:
        """A module applied to the result of the lookup. Its input differs from that of other
        models' embeddings, but its output is the same.
        """
        if not hasattr(self.graph, _BEHIND_LOOKUP):
            _put_behind(self.graph, self._table(), nn.Identity())
        return self.graph.get_submodule(_BEHIND_LOOKUP)

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        # A graph that returns only the last token's logits is fed single tokens if all are needed.
        single = self.all_logits and not self._has_all
        rows, start = [], int(input_pos)
        for part in torch.split(tokens, 1 if single else self._limit, dim=1):
            rows.append(self._step(part, start))
            start += part.shape[1]
        return torch.cat(rows, dim=1) if self.all_logits else rows[-1][:, -1:]

    def _step(self, tokens: Tensor, start: int) -> Tensor:
        position = torch.tensor([start])
        if self._outside is None:
            return _by_position(self.graph(*self._given(tokens, position)))
        count = tokens.shape[1]
        padded = F.pad(tokens, (0, self._limit - count))
        first, *others = self._given(padded, position)
        logits, *made = self.graph(first, *others, *self._outside.inputs(start, self._limit))
        self._outside.store(made, start, count)
        return _by_position(logits)[:, :count]


def _by_position(logits: Tensor) -> Tensor:
    """[1, S, V] of what a program returns: that, or [1, V] of its last token."""
    return logits if logits.dim() == 3 else logits[:, None]


def _name_of(module: nn.Module, inside: nn.Module) -> str:
    return next(name for name, other in inside.named_modules() if other is module)


def _put_behind(graph: GraphModule, table: str, module: nn.Module) -> None:
    """Pass the result of the lookup in ``table`` through ``module``, for all its users.

    A quantizer's passes may have replaced the operator and dropped its module name, so the first
    lookup is taken as the token lookup.
    """
    calls = [n for n in graph.graph.nodes if n.op == "call_function"]
    lookups = [n for n in calls if any(name in str(n.target) for name in _LOOKUPS)]
    node = next((n for n in lookups if table in modules_of(n)), lookups[0])
    graph.add_module(_BEHIND_LOOKUP, module)
    with graph.graph.inserting_after(node):
        behind = graph.graph.call_module(_BEHIND_LOOKUP, (node,))
    behind.meta = dict(node.meta)
    node.replace_all_uses_with(behind, delete_user_cb=lambda user: user is not behind)
    graph.recompile()
