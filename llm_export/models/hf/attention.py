"""Attention of transformers models through ExecuTorch's fused operators.

Registered under its own name: a model that goes through ``AttentionInterface`` calls it with
what ``cache.FusedLayer.update`` returned. No mask is registered under that name, so models
build none: the operator masks causally by position.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "llm_export_custom_op"

# Models pass on what they know of; the step's first position is not among it.
_start: ContextVar[int] = ContextVar("start")


@contextlib.contextmanager
def starting_at(start: int) -> Iterator[None]:
    """Tell ``custom_op`` the position of the step's first token."""
    token = _start.set(start)
    try:
        yield
    finally:
        _start.reset(token)


def custom_op(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [B, H, S, E]; key, value [B, T, K, E] -> [B, S, H, E].

    ``probe`` decides which models this serves: those that say nothing else of importance.
    """
    q = query.transpose(1, 2).contiguous()
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    sdpa = torch.ops.llama.custom_sdpa
    return sdpa(q, key, value, _start.get(), None, 0.0, True, scale), None


AttentionInterface.register(NAME, custom_op)
