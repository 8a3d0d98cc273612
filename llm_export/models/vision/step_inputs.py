"""Inputs of a vision-language model's decoder beside the embeddings and the first position."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from llm_export.models.components.attention_cores import KINDS
from llm_export.models.config import STREAMS, DecoderConfig

ROPE_POSITIONS, DEEPSTACK = "rope_positions", "deepstack"


class StepInput(NamedTuple):
    """
    Attributes:
        shape: with None for the tokens of a step.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype

    @property
    def token_dim(self) -> int:
        return self.shape.index(None)

    def example(self, tokens: int) -> Tensor:
        """The input of a step of text at the beginning."""
        if self.name == ROPE_POSITIONS:
            return torch.arange(tokens).repeat(self.shape[0] or 1, 1)
        return torch.zeros([tokens if n is None else n for n in self.shape], dtype=self.dtype)


def step_inputs(config: DecoderConfig) -> tuple[StepInput, ...]:
    """In the order in which the program takes them: ``rope_positions`` [streams, S] of M-RoPE, and
    ``deepstack`` [N, 1, S, H], what is added after layers.
    """
    found = []
    if any(rope.streams for rope in config.ropes):
        found.append(StepInput(ROPE_POSITIONS, (STREAMS, None), torch.int64))
    additions = sum(layer.addition is not None for layer in config.layers)
    if additions:
        shape = (additions, 1, None, config.hidden_size)
        found.append(StepInput(DEEPSTACK, shape, torch.float32))
    return tuple(found)


def kinds_for(config: DecoderConfig, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``kinds`` of attention that a program with ``step_inputs`` can have: not those whose
    caches are inputs too, nor those that rotate by the slot of a cache.
    """
    if not step_inputs(config):
        return kinds
    return tuple(
        kind
        for kind in kinds
        if kind != "static_io" and not getattr(KINDS[kind].core, "rotates_inside", False)
    )
