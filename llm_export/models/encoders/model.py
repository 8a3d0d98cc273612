"""A text encoder: token ids and mask to one vector per text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.components.registry import BLOCKS, NORMS
from llm_export.models.components.rope import RotaryTables
from llm_export.models.components.step import Step
from llm_export.models.contract import ModelMetadata
from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.core import EncoderCore, MaskPlanner
from llm_export.models.encoders.options import EmbedOptions, EmbedPlan, plan_of
from llm_export.models.encoders.pooled import DenseLayers, normalized
from llm_export.models.encoders.pooling import FUNCTIONS
from llm_export.models.norm_config import NormConfig
from llm_export.models.programs.task_model import Method, TaskModel


class Embeddings(nn.Module):
    """ids [B, S] -> [B, S, D]: tokens, and where the model has them positions and
    token types, and a norm of their sum.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.scale, self.first = config.embedding_scale, config.first_position
        self.tokens = nn.Embedding(config.vocab_size, size)
        rows, types = config.position_rows, config.token_types
        self.positions = nn.Parameter(torch.empty(rows, size)) if rows is not None else None
        self.types = nn.Parameter(torch.empty(types, size)) if types else None
        self.norm = norm_of(config.embedding_norm, size)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        if self.scale != 1.0:
            x = x * self.scale
        if self.positions is not None:
            rows = self.positions[self.first : self.first + ids.shape[1]]
            x = x + (rows if self.types is None else rows + self.types[0])
        elif self.types is not None:
            x = x + self.types[0]
        return x if self.norm is None else self.norm(x)


class EncoderModel(TaskModel):
    """ids i64[B, S], mask i64[B, S] (1 for a text's tokens, 0 for padding) -> f32[B, S, D].

    Texts begin at the first position; padding follows them.

    Attributes:
        repeated_layers: name of the layers that may be left out of a graph; empty if unknown.
    """

    repeated_layers: str = "layers"

    def __init__(self, config: EncoderConfig, context_length: int) -> None:
        super().__init__()
        self.config, self.context_length = config, context_length
        self.metadata = ModelMetadata(config.vocab_size, len(config.layers), False)
        self.embeddings = Embeddings(config)
        self.ropes = nn.ModuleList(RotaryTables(rope, context_length) for rope in config.ropes)
        heads = config.heads
        self.planner = MaskPlanner(
            config.windows, context_length, config.causal, heads[1], heads[0] // heads[1]
        )
        self.layers = nn.ModuleList(
            BLOCKS.get(layer.kind)(config.hidden_size, layer, EncoderCore)
            for layer in config.layers
        )
        self.norm = norm_of(config.final_norm, config.hidden_size)
        self.dense = DenseLayers(config.dense)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        positions, plans = self.planner(mask.to(torch.float32))
        x = self.embeddings(ids)
        step = Step(plans, tuple(rope(positions) for rope in self.ropes))
        for layer in self.layers:
            x = layer(x, step)
        return x if self.norm is None else self.norm(x)

    def run_text(self, tokens: Tensor) -> Tensor:
        with torch.no_grad():
            return self(tokens, torch.ones_like(tokens))

    def layer_chain(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def plan(self, options: EmbedOptions) -> EmbedPlan:
        """The options with this model's facts. Raises RecipeError: they do not fit it."""
        return plan_of(options, self.config, self.context_length)

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        """``forward``, or one method for each of the fixed lengths.

        Without dynamic shapes the length is the longest text's, and the batch the largest.
        """
        plan = self.plan(options)
        lengths = plan.lengths or ((None,) if dynamic else (plan.longest,))
        module = Embedder(self, plan)
        return tuple(
            self._method(
                "forward" if length == lengths[-1] else f"forward_{length}",
                module, plan, length, dynamic,
            )
            for length in reversed(lengths)
        )  # fmt: skip

    def _method(
        self, name: str, module: nn.Module, plan: EmbedPlan, length: int | None, dynamic: bool
    ) -> Method:
        sizes: dict[int, Any] = {}
        if dynamic and plan.max_batch > 1:
            sizes[0] = torch.export.Dim("batch", min=1, max=plan.max_batch)
        if length is None and plan.longest > 1:
            sizes[1] = torch.export.Dim("length", min=1, max=plan.longest)
        shape = (plan.max_batch, plan.longest if length is None else length)
        ids = torch.zeros(shape, dtype=torch.int64)
        return Method(
            name, module, (ids, torch.ones_like(ids)), (sizes or None, sizes or None),
            self.repeated_layers and f"model.{self.repeated_layers}",
        )  # fmt: skip

    def settings(self, options: Any) -> dict[str, Any]:
        plan = self.plan(options)
        return {
            "dimensions": plan.dimensions,
            "max_length": plan.longest,
            "max_batch": plan.max_batch,
            "lengths": list(plan.lengths) or None,
            "pooling": "+".join(plan.pooling),
            "normalize": plan.normalize,
            "matryoshka": list(plan.matryoshka),
            "prompts": dict(options.prompts),
            "similarity": options.similarity,
            "pad_id": self.config.pad_id,
            "pad_side": "right",
        }

    def token_tables(self) -> Sequence[nn.Module]:
        return [self.embeddings.tokens]

    def init_buffers(self) -> None:
        for name, module in self.named_modules():
            fill = getattr(module, "init_buffers", None)
            if name and fill is not None:
                fill()


class Embedder(nn.Module):
    """ids i64[B, S], mask i64[B, S] -> f32[B, dimensions]."""

    def __init__(self, model: EncoderModel, plan: EmbedPlan) -> None:
        super().__init__()
        self.model = model
        self.pooling, self.dimensions, self.normalize = (
            plan.pooling, plan.dimensions, plan.normalize
        )  # fmt: skip

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden, tokens = self.model(ids, mask), mask.to(torch.float32)
        parts = [FUNCTIONS[name](hidden, tokens) for name in self.pooling]
        x = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        x = self.model.dense(x)[:, : self.dimensions]
        return normalized(x) if self.normalize else x


def norm_of(config: NormConfig | None, size: int) -> nn.Module | None:
    return None if config is None else NORMS.get(config.kind)(size, config)
