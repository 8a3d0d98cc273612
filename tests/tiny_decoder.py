"""A tiny Llama with random weights, built without a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from llm_export import api
from llm_export.models.build import build_on_meta
from llm_export.models.families.llama import from_hf


def tiny_decoder(tied: bool = True) -> Any:
    """Of model=tiny's shape, that gives all logits; the same weights each time."""
    words = ["model=tiny", f"model.config.tie_word_embeddings={str(tied).lower()}"]
    config = from_hf(api.compose_recipe(None, words).recipe.model.config)
    model = build_on_meta(config, 64, "plain", True).to_empty(device="cpu")
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    if tied:
        model.head.weight = model.embed.weight
    model.init_buffers()
    return model
