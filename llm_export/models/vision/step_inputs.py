"""Inputs of a vision-language model's decoder beside the embeddings and the first position."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from llm_export.models.config import STREAMS, DecoderConfig

ROPE_POSITIONS, DEEPSTACK, ATTEND_UNTIL = "rope_positions", "deepstack", "attend_until"


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
        return self.of_text(tokens, torch.tensor([0]))

    def of_text(self, tokens: int, input_pos: Tensor) -> Tensor:
        """The input of a step where all is text, which begins at ``input_pos`` [1]."""
        if self.name == ROPE_POSITIONS:
            return (input_pos + torch.arange(tokens)).repeat(self.shape[0] or 1, 1)
        if self.name == ATTEND_UNTIL:
            return input_pos + torch.arange(tokens)
        return torch.zeros([tokens if n is None else n for n in self.shape], dtype=self.dtype)


def step_inputs(config: DecoderConfig, bidirectional: bool = False) -> tuple[StepInput, ...]:
    """In the order in which the program takes them: ``rope_positions`` [streams, S] of M-RoPE;
    ``deepstack`` [N, 1, S, H], what is added after layers; and ``attend_until`` [S], the last
    position that each token attends to: of a token of an image the last one of that image, which
    must be in the same step, and of any other its own.

    Args:
        bidirectional: whether tokens of an image attend to each other in both directions.
    """
    found = []
    if any(rope.streams for rope in config.ropes):
        found.append(StepInput(ROPE_POSITIONS, (STREAMS, None), torch.int64))
    additions = sum(layer.addition is not None for layer in config.layers)
    if additions:
        shape = (additions, 1, None, config.hidden_size)
        found.append(StepInput(DEEPSTACK, shape, torch.float32))
    if bidirectional:
        found.append(StepInput(ATTEND_UNTIL, (None,), torch.int64))
    return tuple(found)
