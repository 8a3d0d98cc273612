"""Mixture of experts (arXiv:1701.06538).

Each expert is a chain of ordinary linears that any backend can delegate and any scheme can
quantize. There are two forms: every expert is computed for every token, and its output is weighted
by zero if it was not selected, which has no data-dependent shapes; or see ``active_experts``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.active_experts import Mixture, active_experts
from llm_export.models.components.registry import FEED_FORWARDS, NORMS, ROUTERS
from llm_export.models.config import MoEConfig


class RouterMatrix(nn.Module):
    """[B, S, D] -> logits [B, S, X]. Not an ``nn.Linear``, so that quantization rules skip it:
    routing a token to a wrong expert costs more than the few bytes saved.
    """

    def __init__(self, hidden: int, experts: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(experts, hidden))
        self.bias = nn.Parameter(torch.zeros(experts)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Router(nn.Module):
    """[B, S, D] -> weights [B, S, X]."""

    def __init__(self, hidden: int, config: MoEConfig) -> None:
        super().__init__()
        self.config = config.router
        self.rule = ROUTERS.get(config.router.kind)
        self.gate = RouterMatrix(hidden, config.router.experts, config.router.bias)
        corrected = config.router.correction
        self.correction = nn.Parameter(torch.zeros(config.router.experts)) if corrected else None
        norm = config.router.norm
        self.norm = None if norm is None else NORMS.get(norm.kind)(hidden, norm)
        scaled = config.router.expert_scale
        self.expert_scale = nn.Parameter(torch.ones(config.router.experts)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        b, s, _ = x.shape
        x = x if self.norm is None else self.norm(x)
        x = x if self.config.input_scale == 1.0 else x * self.config.input_scale
        logits = self.gate(x).view(-1, self.config.experts)
        half = x.dtype != torch.float32  # too small for routers' floors
        weights = self.rule(logits.float() if half else logits, self.config, self.correction)
        if self.expert_scale is not None:
            weights = weights * self.expert_scale
        weights = weights.view(b, s, self.config.experts)
        return weights.to(x.dtype) if half else weights


class Latent(nn.Module):
    """The projections to the experts' channels and back: LatentMoE (Nemotron 3 Super)."""

    def __init__(self, hidden: int, size: int, bias: bool) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, size, bias=bias)
        self.up = nn.Linear(size, hidden, bias=bias)


class MixtureOfExperts(Mixture):
    """[B, S, D] -> [B, S, D]. The router may read another tensor than the experts."""

    def __init__(self, hidden: int, config: MoEConfig) -> None:
        super().__init__()
        build = FEED_FORWARDS.get(config.expert.kind)
        self.per_token = config.router.per_token
        self.router = Router(hidden, config)
        self.latent: Latent | None = None
        if config.latent is not None:
            self.latent = Latent(hidden, config.latent, config.latent_bias)
        width = hidden if config.latent is None else config.latent
        self.experts = nn.ModuleList(
            build(width, config.expert) for _ in range(config.router.experts)
        )
        self.shared: nn.Module | None = None
        self.shared_gate: RouterMatrix | None = None
        if config.shared is not None:
            self.shared = FEED_FORWARDS.get(config.shared.kind)(hidden, config.shared)
        if config.shared_gate:
            self.shared_gate = RouterMatrix(hidden, 1, bias=False)

    def forward(self, x: Tensor, routed_by: Tensor | None = None) -> Tensor:
        weights = self.router(x if routed_by is None else routed_by)
        read = x if self.latent is None else self.latent.down(x)
        y = self._selected(read, weights) if self.active_only else self._all(read, weights)
        if self.latent is not None:
            y = self.latent.up(y)
        return y if self.shared is None else y + self._shared(x)

    def _shared(self, x: Tensor) -> Tensor:
        assert self.shared is not None
        y = self.shared(x)
        return y if self.shared_gate is None else y * torch.sigmoid(self.shared_gate(x))

    def _all(self, x: Tensor, weights: Tensor) -> Tensor:
        parts = [e(x) * weights[..., i : i + 1] for i, e in enumerate(self.experts)]
        y = parts[0]
        for part in parts[1:]:
            y = y + part
        return y

    def _selected(self, x: Tensor, weights: Tensor) -> Tensor:
        flat = weights.flatten(0, 1)
        if self.router.expert_scale is None:
            best = torch.topk(flat, self.per_token, dim=-1)
            chosen, values = best.indices, best.values
        else:
            # Factors may be negative; the weights of experts that are not selected are 0.
            chosen = torch.topk(flat.abs(), self.per_token, dim=-1).indices
            values = flat.gather(1, chosen)
        y = active_experts(x.flatten(0, 1), chosen, values, list(self.experts))
        return y.view_as(x)
