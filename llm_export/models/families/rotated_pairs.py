"""Row order of query and key weights in checkpoints whose RoPE rotates neighbouring channels (2i,
2i+1), while this decoder rotates halves (i, i + R/2). Channels beyond the R rotated ones stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.models.config import DecoderConfig

if TYPE_CHECKING:
    from torch import Tensor


def halves(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Rows [N*E, ...] of queries and keys, and their biases: pairs -> halves."""
    return _ordered(name, tensor, config, apart=True)


def pairs(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The inverse of ``halves``."""
    return _ordered(name, tensor, config, apart=False)


def _ordered(name: str, tensor: Tensor, config: DecoderConfig, apart: bool) -> Tensor:
    if ".qkv.q." not in name and ".qkv.k." not in name:
        return tensor
    attention = config.attentions[0]
    assert attention.rope is not None
    rotated = config.ropes[attention.rope].dim
    heads = tensor.view(-1, attention.head_dim, *tensor.shape[1:]).clone()
    turned = heads[:, :rotated]
    first, second = (rotated // 2, 2) if apart else (2, rotated // 2)
    split = turned.unflatten(1, (first, second)).transpose(1, 2)
    heads[:, :rotated] = split.flatten(1, 2)
    return heads.reshape(tensor.shape)
