"""MoE routers: logits [N, X] -> weights [N, X], zero for experts that are not selected.

Dense rows of weights, instead of indices, keep the program free of data-dependent shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.models.config import RouterConfig


def _chosen(scores: Tensor, count: int) -> Tensor:
    """[N, X] -> 1.0 for scores among the ``count`` best of their row, else 0.0."""
    best = torch.topk(scores, count, dim=-1).indices
    return torch.zeros_like(scores).scatter(1, best, torch.ones_like(best, dtype=scores.dtype))


def _in_best_groups(scores: Tensor, config: RouterConfig, best_of_group: int) -> Tensor:
    """1.0 for experts of the best groups; a group's score is the sum of its ``best_of_group``
    best.
    """
    size = config.experts // config.groups
    grouped = scores.view(-1, config.groups, size)
    value = torch.topk(grouped, best_of_group, dim=-1).values.sum(-1)
    kept = _chosen(value, config.groups_per_token)
    return kept[:, :, None].expand(-1, -1, size).reshape(-1, config.experts)


def softmax(logits: Tensor, config: RouterConfig, correction: Tensor | None) -> Tensor:
    """Softmax over all experts, then top-k (Mixtral, Qwen MoE, OLMoE, DeepSeek-V2), by corrected
    scores (ERNIE 4.5).
    """
    scores = torch.softmax(logits, dim=-1)
    if config.groups > 1:
        scores = scores * _in_best_groups(scores, config, 1)
    ranked = scores if correction is None else scores + correction
    weights = scores * _chosen(ranked, config.per_token)
    if config.normalize:
        total = weights.sum(-1, keepdim=True)
        weights = weights / (total.clamp(min=config.floor) if config.floor else total)
    return weights * config.scaling


def best_softmax(logits: Tensor, config: RouterConfig, correction: Tensor | None) -> Tensor:
    """Softmax over the top-k logits only (gpt-oss)."""
    hidden = (1 - _chosen(logits, config.per_token)) * -1e9
    return torch.softmax(logits + hidden, dim=-1) * config.scaling


def sigmoid(logits: Tensor, config: RouterConfig, correction: Tensor | None) -> Tensor:
    """Sigmoid scores; a learned correction bias affects the selection but not the weights
    (DeepSeek-V3, arXiv:2412.19437).
    """
    scores = torch.sigmoid(logits)
    ranked = scores if correction is None else scores + correction
    if config.groups > 1:
        # A finite floor: infinity times zero would give NaN.
        ranked = ranked + (1 - _in_best_groups(ranked, config, 2)) * -1e9
    weights = scores * _chosen(ranked, config.per_token)
    if config.normalize:
        weights = weights / (weights.sum(-1, keepdim=True) + config.eps)
    return weights * config.scaling
