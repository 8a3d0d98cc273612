"""The gated delta rule as products of a whole step, and as ExecuTorch's operator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.models.components.mixers.gated_delta import DeltaRule, by_products
from llm_export.models.components.step import Step
from llm_export.models.config import GatedDeltaConfig, NormConfig
from llm_export.transforms.attention import require_custom_ops

HEADS, KEY, VALUE = 3, 16, 8
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def by_tokens(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor
) -> Tensor:
    """Outputs, then the state, by the recurrence as the paper states it, in float64."""
    q, k, v, decay, rate, state = (x.double() for x in (q, k, v, decay, rate, state))
    rows = []
    for t in range(q.shape[1]):
        state = state * decay[:, t].exp()[:, None, None]
        wrong = v[:, t] - torch.einsum("hkv,hk->hv", state, k[:, t])
        state = state + torch.einsum("hk,hv->hkv", k[:, t], wrong * rate[:, t, None])
        rows.append(torch.einsum("hkv,hk->hv", state, q[:, t]))
    return torch.cat((torch.stack(rows, 1), state), 1)


def inputs(kind: str, count: int) -> Inputs:
    torch.manual_seed(count)
    q, k = (F.normalize(torch.randn(HEADS, count, KEY), dim=-1) for _ in range(2))
    v, state = torch.randn(HEADS, count, VALUE), torch.randn(HEADS, KEY, VALUE)
    decay, rate = -2 * torch.rand(HEADS, count), torch.rand(HEADS, count)
    if kind == "one key, nothing forgotten":  # a power series of the system would overflow
        k, decay = k[:, :1].expand_as(k).contiguous(), 0 * decay
        rate = torch.full_like(rate, 0.999)
    elif kind == "all forgotten":  # exp(-120) is 0 in float32
        decay = torch.full_like(decay, -120.0)
    return q, k, v, decay, rate, state


@pytest.mark.parametrize("kind", ["random", "one key, nothing forgotten", "all forgotten"])
@pytest.mark.parametrize(("count", "longest"), [(1, 1), (7, 64), (64, 64), (65, 100), (128, 128)])
def test_products_and_operator_equal_the_recurrence(kind: str, count: int, longest: int) -> None:
    require_custom_ops()
    given = inputs(kind, count)
    expected = by_tokens(*given)
    found = torch.cat(by_products(*given, longest), 1)
    q, k, v, decay, rate, state = (x.unsqueeze(0) for x in given)
    of_operator = torch.cat(torch.ops.llama.gated_delta_rule(q, k, v, decay.exp(), rate, state), 2)
    for one in (found, of_operator[0]):
        assert float((one - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("fused", [False, True])
def test_a_first_position_forgets_what_is_held(fused: bool) -> None:
    require_custom_ops()
    norm = NormConfig(1e-6)
    rule = DeltaRule(GatedDeltaConfig(HEADS, HEADS, KEY, VALUE, kernel=4, norm=norm))
    rule.fused = fused
    q, k, v, decay, rate, held = inputs("random", 7)
    rule.state_cache = held.unsqueeze(0)
    each = torch.ones(7)
    each[0] = 0
    y = rule(q, k, v, decay, rate, Step({}, (), follows=torch.zeros(1), each_follows=each))
    expected = by_tokens(q, k, v, decay, rate, torch.zeros_like(held))
    found = torch.cat((y, rule.state_cache[0]), 1)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
