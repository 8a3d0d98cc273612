"""Recurrences of transformers' models, from any state.

The library's own forms for several tokens pad to whole chunks or begin with an empty state. These
are right for every number of tokens, so that a prompt may come in chunks of any length. Where there
is one decay for a head, the matrix products of the fast tier's mixers compute a step; Mamba's and
Kimi's decays, one for each channel, go from token to token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llm_export.compat.scan import scan
from llm_export.compat.transformers_recurrence import (
    GATED_DELTA,
    KIMI_DELTA,
    MAMBA,
    MAMBA2,
    Functions,
)
from llm_export.models.components.mixers.gated_delta import by_products
from llm_export.models.components.mixers.mamba2 import one_block

State = Tensor | None

IN_BLOCKS = (MAMBA2, GATED_DELTA)
"""Functions whose work grows with the square of a step's tokens."""


@dataclass(frozen=True)
class Form:
    """How a step is computed.

    Attributes:
        operators: whether ExecuTorch's ``llama::`` operators are available.
        longest: most tokens of a step whose number a program leaves open.
    """

    operators: bool = False
    longest: int = 1


def replacements(given: Callable[[int], State], form: Form | None = None) -> Functions:
    """Name of a function of the library -> its replacement.

    Args:
        given: number of dimensions of a state -> the state with which a recurrence begins; called
            once for each. None is an empty one.
    """

    def begun(function: Callable[..., Any], dims: int) -> Callable[..., Any]:
        def run(
            *args: Any, initial_states: Any = None, initial_state: Any = None, **kw: Any
        ) -> Any:
            return function(*args, initial=given(dims), **kw)

        return run

    return {
        MAMBA: begun(mamba, 3),
        MAMBA2: begun(mamba2, 4),
        GATED_DELTA: begun(partial(delta_rule, form=form or Form()), 4),
        KIMI_DELTA: begun(delta_rule, 4),
    }


def _time_step(dt: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    dt = dt if bias is None else dt + bias.to(dt.dtype)
    return F.softplus(dt) if softplus else dt


def mamba(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    initial: State = None,
    **kwargs: Any,
) -> Any:
    """Selective scan of Mamba, https://arxiv.org/abs/2312.00752, section 3.2.

    hidden_states, dt and z [1, D, S]; A [D, N]; B and C [1, N, S]; D and delta_bias [D];
    initial [1, D, N] -> [1, D, S], and with ``return_last_state`` the state.
    """
    dt = _time_step(dt, None if delta_bias is None else delta_bias[:, None], delta_softplus)
    x = hidden_states.float()
    state = x.new_zeros(x.shape[0], *A.shape) if initial is None else initial

    def step(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        x, dt, b, c = now
        state = state * torch.exp(dt.unsqueeze(-1) * A) + (dt * x).unsqueeze(-1) * b.unsqueeze(1)
        return state, (state @ c.unsqueeze(-1)).squeeze(-1)

    inputs = tuple(each.float().permute(2, 0, 1) for each in (x, dt, B, C))
    state, outputs = scan(step, state, inputs)
    y = outputs.permute(1, 2, 0).to(hidden_states.dtype)
    y = y if D is None else y + hidden_states * D[None, :, None]
    y = y if z is None else y * F.silu(z)
    return (y, state) if return_last_state else y


def mamba2(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial: State = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    **kwargs: Any,
) -> Any:
    """Recurrence of Mamba-2, https://arxiv.org/abs/2405.21060, section 2.

    hidden_states [1, S, H, P]; dt [1, S, H]; A, D and dt_bias [H]; B and C [1, S, G, N];
    initial [1, H, P, N] -> [1, S, H, P], and with ``return_final_states`` the state.
    """
    (_, _, heads, size), (groups, width) = hidden_states.shape, B.shape[2:]
    dt = _time_step(dt, dt_bias, dt_softplus)
    if dt_limit[0] > 0 or dt_limit[1] != float("inf"):
        dt = torch.clamp(dt, min=dt_limit[0], max=dt_limit[1])
    dt, x = dt.float(), hidden_states.float()
    state = x.new_zeros(1, heads, size, width) if initial is None else initial
    by_group = state.view(groups, heads // groups * size, width).transpose(1, 2)
    b, c = (each[0].float().transpose(0, 1) for each in (B, C))
    y, after = one_block((x * dt.unsqueeze(-1))[0], b, c, (dt * A.float())[0], by_group)
    y = y.unsqueeze(0).contiguous()  # models take a view
    y = y if D is None else y + D.unsqueeze(-1) * x
    after = after.transpose(1, 2).reshape(1, heads, size, width)
    return (y, after) if return_final_states else y


def delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    g: Tensor,
    beta: Tensor,
    initial: State = None,
    output_final_state: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
    form: Form = Form(),
    **kwargs: Any,
) -> tuple[Tensor, State]:
    """Gated delta rule, https://arxiv.org/abs/2412.06464, section 3.1, and with a decay for each
    channel of the keys Kimi's, https://arxiv.org/abs/2510.26692.

    query and key [1, S, K, E]; value [1, S, H, V]; g [1, S, H] or [1, S, H, E], the logarithm of
    the decay; beta [1, S, H]; initial [1, H, E, V] -> [1, S, H, V], and the state if wanted.
    """
    heads, size = value.shape[2:]
    group = heads // key.shape[2]
    q, k, v, decay, beta = (each.float() for each in (query, key, value, g, beta))
    if use_qk_l2norm_in_kernel:
        q, k = _unit(q), _unit(k)
    if group != 1:
        q, k = (each.repeat_interleave(group, dim=2) for each in (q, k))
    q = q * q.shape[-1] ** -0.5
    state = v.new_zeros(1, heads, k.shape[-1], size) if initial is None else initial
    kind = _by_token if decay.dim() > beta.dim() else _by_head
    outputs, state = kind(q, k, v, decay, beta, state, form)
    return outputs.contiguous().to(query.dtype), state if output_final_state else None


def _by_head(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor, form: Form
) -> tuple[Tensor, Tensor]:
    """With one decay for each head."""
    parts = [each.transpose(1, 2) for each in (q, k, v, decay, beta)]  # [1, H, S, ...]
    if form.operators:
        q, k, v, decay, beta = parts
        parts = [each.contiguous() for each in (q, k, v, decay.exp(), beta)]
        y, after = torch.ops.llama.gated_delta_rule(*parts, state)
        return y.transpose(1, 2), after
    count = q.shape[1]
    longest = count if type(count) is int else form.longest
    q, k, v, decay, beta = (each[0] for each in parts)
    y, after = by_products(q, k, v, decay, beta, state[0], longest)
    return y.unsqueeze(0).transpose(1, 2), after.unsqueeze(0)


def _by_token(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor, form: Form
) -> tuple[Tensor, Tensor]:
    def step(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        q, k, v, decay, beta = now
        state = state * decay.unsqueeze(-1)
        known = (k.unsqueeze(-2) @ state).squeeze(-2)
        change = (v - known) * beta.unsqueeze(-1)
        state = state + k.unsqueeze(-1) * change.unsqueeze(-2)
        return state, (q.unsqueeze(-2) @ state).squeeze(-2)

    inputs = tuple(each.transpose(0, 1) for each in (q, k, v, decay.exp(), beta))
    state, outputs = scan(step, state, inputs)
    return outputs.transpose(0, 1), state


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)
