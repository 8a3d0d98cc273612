"""Mamba-2 (arXiv:2405.21060): a state space model with one decay per head and token.

For each head, with input x, projections B and C, step size t and decay a = exp(-exp(A_log) t):

    S = a S + B (t x);  out = C S + D x

A step of several tokens is computed by matrix products (section 6 of the paper, one block).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.gated_norm import GatedRMSNorm
from llm_export.models.components.mixers.causal_conv import CausalConv
from llm_export.models.components.mixers.softplus import softplus
from llm_export.models.components.mixers.state import Mixer, State
from llm_export.models.components.step import Step
from llm_export.models.config import Mamba2Config


class StateSpace(State):
    """x [S, H, P], B and C [G, S, N], decay (its logarithm) [S, H] -> [S, H, P].

    The state is [1, G, N, (H / G) * P], in float32.
    """

    state_name = "state_cache"
    float32_buffers = ("state_cache",)

    def __init__(self, config: Mamba2Config) -> None:
        per_group = config.heads // config.groups
        super().__init__((1, config.groups, config.state, per_group * config.head_dim))

    def forward(self, x: Tensor, b: Tensor, c: Tensor, decay: Tensor, step: Step) -> Tensor:
        y, after = one_block(x, b, c, decay, self.held(step)[0], step.follows)
        self.after(after.unsqueeze(0), step)
        return y


def one_block(
    x: Tensor, b: Tensor, c: Tensor, decay: Tensor, state: Tensor, follows: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A step by matrix products.

    x [S, H, P], b and c [G, S, N], decay [S, H], state [G, N, (H / G) * P] -> [S, H, P], and the
    state after the step. ``follows`` [1] is a factor on the state before it.
    """
    (s, heads, p), groups = x.shape, b.shape[0]
    per_group = heads // groups
    total = decay.cumsum(dim=0).t().contiguous()  # [H, S]
    # 1 for later tokens, whose differences are positive and would overflow. Not a comparison,
    # which few delegates take.
    numbers = torch.arange(s, dtype=x.dtype, device=x.device)
    later = (numbers[None, :] - numbers[:, None]).clamp(0, 1)
    between = (total[:, :, None] - total[:, None, :]) + later * -1e9
    scores = torch.bmm(c, b.transpose(1, 2))[:, None]  # [G, 1, S, S]
    scores = (scores * between.exp().view(groups, per_group, s, s)).view(heads, s, s)
    x = x.transpose(0, 1).contiguous()  # [H, S, P]
    y = torch.bmm(scores, x)
    past = torch.bmm(c, state).view(groups, s, per_group, p).transpose(1, 2)
    since = total.exp()
    since = since if follows is None else since * follows
    y = y + past.reshape(heads, s, p) * since[:, :, None]
    fresh = x * (total[:, -1:] - total).exp()[:, :, None]
    fresh = fresh.view(groups, per_group, s, p).transpose(1, 2).reshape(groups, s, -1)
    kept = since[:, -1:].reshape(groups, 1, per_group, 1).expand(-1, -1, -1, p)
    after = state * kept.reshape(groups, 1, per_group * p) + torch.bmm(b.transpose(1, 2), fresh)
    return y.transpose(0, 1), after


class Mamba2(Mixer):
    """[1, S, D], step -> [1, S, D].

    ``gate``, ``xbc`` and ``dt`` are the parts of the models' joint input projection.
    """

    def __init__(self, hidden: int, config: Mamba2Config) -> None:
        super().__init__()
        self.config = config
        self.gate = nn.Linear(hidden, config.inner, bias=config.bias)
        self.xbc = nn.Linear(hidden, config.conv_channels, bias=config.bias)
        self.dt = nn.Linear(hidden, config.heads, bias=config.bias)
        self.A_log = nn.Parameter(torch.zeros(config.heads))
        self.D = nn.Parameter(torch.zeros(config.heads))
        self.dt_bias = nn.Parameter(torch.zeros(config.heads))
        self.conv = CausalConv(config.conv_channels, config.kernel, config.conv_bias)
        self.space = StateSpace(config)
        norm = config.gate_norm
        self.norm = (
            None
            if norm is None
            else GatedRMSNorm(config.inner, norm.eps, config.gate_first, parts=config.norm_groups)
        )
        self.out = nn.Linear(config.inner, hidden, bias=config.out_bias)

    def readers(self) -> tuple[nn.Linear, ...]:
        return self.gate, self.xbc, self.dt

    def writers(self) -> tuple[nn.Linear, ...]:
        return (self.out,)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        config = self.config
        # Sizes are inferred (-1) because delegates do not support computed ones.
        gate = self.gate(x)
        size = softplus(self.dt(x)[0].float() + self.dt_bias.float())  # [S, H]
        low, high = config.step_limits
        if low > 0 or math.isfinite(high):
            size = size.clamp(low, high if math.isfinite(high) else None)
        mixed = ACTIVATIONS[config.activation](self.conv(self.xbc(x), step)).float()
        shared = config.groups * config.state
        u, b, c = torch.split(mixed, [config.inner, shared, shared], dim=-1)
        u = u.view(-1, config.heads, config.head_dim)
        y = self.space(
            u * size[:, :, None], self._by_group(b), self._by_group(c),
            size * -self.A_log.float().exp(), step,
        )  # fmt: skip
        y = (y + u * self.D.float()[:, None]).reshape(1, -1, config.inner)
        if self.norm is None:
            y = (y * F.silu(gate.float())).to(x.dtype)
        else:
            parts = (1, -1, config.norm_groups, config.inner // config.norm_groups)
            y = self.norm(y.view(parts), gate.view(parts)).view(1, -1, config.inner)
        out: Tensor = self.out(y)
        return out

    def _by_group(self, x: Tensor) -> Tensor:
        """[1, S, G * N] -> [G, S, N]."""
        config = self.config
        return x.view(-1, config.groups, config.state).transpose(0, 1).contiguous()
