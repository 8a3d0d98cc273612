"""Build a decoder without weights, and check that all weights are loaded."""

from __future__ import annotations

import torch
from torch import nn

from llm_export.errors import PostConditionError
from llm_export.models.config import DecoderConfig
from llm_export.models.decoder import Decoder


def build_on_meta(
    config: DecoderConfig, context_length: int, attention: str, all_logits: bool
) -> Decoder:
    """Build a decoder on the meta device: parameters and buffers have shapes but no memory."""
    with torch.device("meta"):
        model = Decoder(config, context_length, attention, all_logits)
    if config.tied_embeddings:
        model.head.weight = model.embed.weight
    return model.eval().requires_grad_(False)


def assert_materialized(model: nn.Module) -> None:
    """Raises PostConditionError if a parameter or buffer is still on the meta device."""
    left = [n for n, t in [*model.named_parameters(), *model.named_buffers()] if t.is_meta]
    if left:
        raise PostConditionError(f"{len(left)} tensors have no values: {', '.join(left[:5])}")
