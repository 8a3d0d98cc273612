"""The transform behind ``order_channels``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.models.components.feed_forward import (
    FusedGateUp,
    GatedFeedForward,
    PlainFeedForward,
)
from llm_export.transforms.base import Transform
from llm_export.transforms.equivalence import checked_equivalent


def ordering(by: str) -> Transform:
    """Order every feed-forward network's channels; logits stay, and sizes fall.

    Args:
        by: "largest" or "mean" absolute weight of a channel.
    """

    def sizes(network: GatedFeedForward | PlainFeedForward) -> Tensor:
        weights = network.down.weight.abs()
        return weights.amax(dim=0) if by == "largest" else weights.mean(dim=0)

    def apply(model: nn.Module) -> int:
        networks = _networks(model)
        for network in networks:
            _reorder(network, torch.argsort(sizes(network), descending=True, stable=True))
        return len(networks)

    kept = checked_equivalent("order_channels", "ordering channels", apply)

    def check(model: nn.Module) -> None:
        kept.check(model)
        for network in _networks(model):
            if bool((sizes(network).diff() > 0).any()):
                raise PostConditionError("feed-forward channels are not in order")

    return Transform("order_channels", kept.apply, check)


def _networks(model: nn.Module) -> list[GatedFeedForward | PlainFeedForward]:
    return [m for m in model.modules() if isinstance(m, GatedFeedForward | PlainFeedForward)]


def _reorder(network: GatedFeedForward | PlainFeedForward, order: Tensor) -> None:
    _set(network.down, "weight", network.down.weight[:, order])
    if isinstance(network, PlainFeedForward):
        _reorder_rows(network.up, order)
    elif isinstance(network.gate_up, FusedGateUp):
        _reorder_rows(network.gate_up.fused, torch.cat([order, order + len(order)]))
    else:
        _reorder_rows(network.gate_up.gate, order)
        _reorder_rows(network.gate_up.up, order)


def _reorder_rows(linear: nn.Linear, order: Tensor) -> None:
    _set(linear, "weight", linear.weight[order])
    if linear.bias is not None:
        _set(linear, "bias", linear.bias[order])


def _set(linear: nn.Linear, name: str, value: Tensor) -> None:
    setattr(linear, name, nn.Parameter(value.detach().contiguous(), requires_grad=False))
