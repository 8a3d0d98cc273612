"""Attention of transformers models through ExecuTorch's fused operators.

Registered under its own name. A model that uses ``AttentionInterface`` calls it with the result of
``cache.FusedLayer.update``. No mask function is registered under that name, so models build no
mask: the operator masks causally by position.
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

# Models only pass arguments that they know; the step's first position is not among them.
_start: ContextVar[int] = ContextVar("start")


@contextlib.contextmanager
def starting_at(start: int) -> Iterator[None]:
    """Set the position of the step's first token for ``custom_op``."""
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

    ``probe`` decides which models can use this: those that pass no other argument that matters.
    """
    q = query.transpose(1, 2).contiguous()
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    sdpa = torch.ops.llama.custom_sdpa
    return sdpa(q, key, value, _start.get(), None, 0.0, True, scale), None


AttentionInterface.register(NAME, custom_op)
