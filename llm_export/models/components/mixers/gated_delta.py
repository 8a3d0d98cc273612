"""Gated delta net (arXiv:2412.06464): linear attention whose state forgets and corrects itself.

For each value head, with key k and query q of unit length, value v, decay a and rate b:

    S = a S;  S = S + k b (v - k S);  out = q S

A step of several tokens is computed by matrix products (section 3.3 of the paper): the corrections
v' = v - k S of the tokens solve the unit lower triangular system (I + L) X = R.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.gated_norm import GatedRMSNorm
from llm_export.models.components.mixers.causal_conv import CausalConv
from llm_export.models.components.mixers.softplus import softplus
from llm_export.models.components.mixers.state import Mixer, State
from llm_export.models.components.norm import PlainRMSNorm
from llm_export.models.components.step import Step
from llm_export.models.config import GatedDeltaConfig, NormConfig

_EPS = 1e-6  # of the unit length of queries and keys, in all published models


class DeltaRule(State):
    """q, k [H, S, E], v [H, S, E'], decay (its logarithm) and rate [H, S] -> [H, S, E'].

    The state is [1, H, E, E'], in float32.

    Attributes:
        fused: whether ExecuTorch's operator ``llama::gated_delta_rule`` computes it.
        longest: most tokens of a step, where a program leaves their number open.
    """

    state_name = "state_cache"
    float32_buffers = ("state_cache",)

    def __init__(self, config: GatedDeltaConfig) -> None:
        super().__init__((1, config.value_heads, config.key_dim, config.value_dim))
        self.fused, self.longest = False, 1

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, step: Step
    ) -> Tensor:
        held = self.held(step)
        if self.fused:
            # Of a single token too: XNNPACK packs the state anew for its products. It took 187 us
            # for 16 heads of 128 x 128 and the write of the state, this operator 136, on a thread;
            # on two threads, which the operator does not use, 147 and 135 at best.
            kept = decay.exp()
            kept = kept if step.each_follows is None else kept * step.each_follows
            q, k, v = (x.view(1, x.shape[0], -1, x.shape[2]) for x in (q, k, v))
            kept, rate = (x.view(1, x.shape[0], -1) for x in (kept, rate))
            y, after = torch.ops.llama.gated_delta_rule(q, k, v, kept, rate, held)
            y = y.view(y.shape[1], -1, y.shape[3])
        else:
            count = q.shape[1]
            longest = count if type(count) is int else self.longest
            y, after = by_products(q, k, v, decay, rate, held[0], longest, step.follows)
            after = after.unsqueeze(0)
        self.after(after, step)
        return y


def by_products(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    rate: Tensor,
    state: Tensor,
    longest: int,
    follows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The outputs of a step of at most ``longest`` tokens, and the state [H, E, E'] after it.
    ``follows`` [1] is a factor on the state before it."""
    total = decay.cumsum(dim=1)  # [H, S]
    numbers = torch.arange(q.shape[1], device=q.device)
    later = numbers[None, :] > numbers[:, None]
    # Differences of later tokens are positive and would overflow.
    between = (total[:, :, None] - total[:, None, :]) + later.to(q.dtype) * -1e9
    between = between.exp()  # [H, S, S]: decay from token j to token i
    by_rate = k * rate[:, :, None]
    since = total.exp()[:, :, None]
    since = since if follows is None else since * follows
    keys = k.transpose(1, 2)
    right = v * rate[:, :, None] - torch.bmm(by_rate * since, state)
    fresh = _solved(torch.bmm(by_rate, keys) * between, right, numbers, longest)
    y = torch.bmm(q * since, state) + torch.bmm(torch.bmm(q, keys) * between, fresh)
    until = (total[:, -1:] - total).exp()[:, :, None]
    return y, state * since[:, -1:] + torch.bmm((k * until).transpose(1, 2), fresh)


def _solved(system: Tensor, right: Tensor, numbers: Tensor, longest: int) -> Tensor:
    """Solve (I + strict lower part of system) X = right, for up to ``longest`` rows.

    By halves: with T the inverse of the diagonal blocks of size b, and M the blocks below them
    that make blocks of size 2 b, T - T M T is the inverse of those. Unlike a product of powers
    this loses no precision where keys repeat. Any number of rows takes the same operations, so
    that their number may be dynamic.
    """
    size = 1
    inverse = (numbers[None, :] == numbers[:, None]).to(system.dtype).expand_as(system)
    while size < longest:
        block = torch.div(numbers, size, rounding_mode="floor")
        pair = torch.div(block, 2, rounding_mode="floor")
        below = (pair[:, None] == pair[None, :]) & (block[:, None] > block[None, :])
        part = system * below.to(system.dtype)
        inverse = inverse - torch.bmm(torch.bmm(inverse, part), inverse)
        size *= 2
    return torch.bmm(inverse, right)


class GatedDeltaNet(Mixer):
    """[1, S, D], step -> [1, S, D].

    ``decay`` and ``beta`` are linears that give a number per value head; ``A_log`` and ``dt_bias``
    are the parameters of the decay, exp(-exp(A_log) softplus(x + dt_bias)).
    """

    def __init__(self, hidden: int, config: GatedDeltaConfig) -> None:
        super().__init__()
        self.config = config
        values = config.value_heads * config.value_dim
        channels = 2 * config.key_heads * config.key_dim + values
        self.qkv = nn.Linear(hidden, channels, bias=False)
        self.gate = nn.Linear(hidden, values, bias=False)
        self.beta = nn.Linear(hidden, config.value_heads, bias=False)
        self.decay = nn.Linear(hidden, config.value_heads, bias=False)
        self.A_log = nn.Parameter(torch.zeros(config.value_heads))
        self.dt_bias = nn.Parameter(torch.zeros(config.value_heads))
        self.conv = CausalConv(channels, config.kernel, bias=False)
        self.rule = DeltaRule(config)
        # Of unit length is E ** -0.5 times of unit mean square.
        self.unit = PlainRMSNorm(config.key_dim, NormConfig(_EPS / config.key_dim))
        self.norm = GatedRMSNorm(config.value_dim, config.norm.eps, gate_first=False)
        self.out = nn.Linear(values, hidden, bias=False)

    def readers(self) -> tuple[nn.Linear, ...]:
        return self.qkv, self.gate, self.beta, self.decay

    def writers(self) -> tuple[nn.Linear, ...]:
        return (self.out,)

    def prepare(self, *, operators: bool, longest: int) -> None:
        self.rule.fused, self.rule.longest = operators, longest

    def forward(self, x: Tensor, step: Step) -> Tensor:
        config = self.config
        # Sizes are inferred (-1) because delegates do not support computed ones.
        decay = -self.A_log.float().exp() * softplus(self.decay(x).float() + self.dt_bias.float())
        rate = torch.sigmoid(self.beta(x)).float()
        keys, values = config.key_heads * config.key_dim, config.value_heads * config.value_dim
        mixed = F.silu(self.conv(self.qkv(x), step)).float()
        q, k, v = torch.split(mixed, [keys, keys, values], dim=-1)
        # Queries are scaled by E ** -0.5 besides.
        q, k = self._by_head(q, 1 / config.key_dim), self._by_head(k, config.key_dim**-0.5)
        v = v.view(-1, config.value_heads, config.value_dim).transpose(0, 1).contiguous()
        decay, rate = (x.view(-1, config.value_heads).t().contiguous() for x in (decay, rate))
        y = self.rule(q, k, v, decay, rate, step)
        y = y.transpose(0, 1).contiguous().view(1, -1, config.value_heads, config.value_dim)
        y = self.norm(y, self.gate(x).view(1, -1, config.value_heads, config.value_dim))
        out: Tensor = self.out(y.view(1, -1, values))
        return out

    def _by_head(self, x: Tensor, scale: float) -> Tensor:
        """[1, S, K * E] -> [H, S, E], of unit mean square and scaled; a key head serves ``H / K``
        value heads."""
        config = self.config
        x = x.view(-1, config.key_heads, config.key_dim).transpose(0, 1)
        x = self.unit(x) * scale
        group = config.value_heads // config.key_heads
        if group > 1:
            x = x[:, None].expand(-1, group, -1, -1).reshape(config.value_heads, -1, config.key_dim)
        return x.contiguous()
