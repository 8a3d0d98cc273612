"""A mixture that computes the selected experts only against the same one that computes all."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.models.components.active_experts import active_experts
from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.config import FeedForwardConfig, MoEConfig, RouterConfig

HIDDEN = 16


def mixture(experts: int, per_token: int, kind: str) -> MixtureOfExperts:
    config = MoEConfig(
        RouterConfig(kind, experts, per_token, normalize=True),
        FeedForwardConfig(24, "silu"), shared=FeedForwardConfig(8, "silu"),
    )  # fmt: skip
    module = MixtureOfExperts(HIDDEN, config).requires_grad_(False)
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module


@settings(deadline=None, max_examples=30)
@given(
    experts=st.integers(1, 9),
    per_token=st.integers(1, 9),
    tokens=st.integers(1, 12),
    kind=st.sampled_from(["softmax", "best_softmax", "sigmoid"]),
    seed=st.integers(0, 1000),
)
def test_the_selected_experts_alone_give_the_sum_over_all(
    experts: int, per_token: int, tokens: int, kind: str, seed: int
) -> None:
    torch.manual_seed(seed)
    module = mixture(experts, min(per_token, experts), kind)
    x = torch.randn(1, tokens, HIDDEN)
    every = module(x)
    module.active_only = True
    torch.testing.assert_close(module(x), every, rtol=1e-5, atol=1e-5)


def test_each_expert_gets_the_rows_of_its_own_tokens_only() -> None:
    """The work is that of the selected experts; an expert without tokens is not called."""
    seen: list[tuple[int, int]] = []

    def expert(index: int) -> object:
        def compute(rows: torch.Tensor) -> torch.Tensor:
            seen.append((index, len(rows)))
            return rows * (index + 1)

        return compute

    x, chosen = torch.ones(3, HIDDEN), torch.tensor([[0, 3], [3, 1], [3, 0]])
    weights = torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    y = active_experts(x, chosen, weights, [expert(i) for i in range(5)])  # type: ignore[misc]
    assert seen == [(0, 2), (1, 1), (3, 3)]
    assert y[:, 0].tolist() == [0.5 * 1 + 0.5 * 4, 0.25 * 4 + 0.75 * 2, 4.0]


def test_two_slots_may_name_one_expert() -> None:
    """As where an index beyond the experts, with weight zero, is moved to the last one."""
    x, chosen = torch.randn(2, HIDDEN), torch.tensor([[1, 1], [0, 1]])
    weights = torch.tensor([[0.5, 0.0], [1.0, 1.0]])
    y = active_experts(x, chosen, weights, [lambda r: r, lambda r: 2 * r])
    torch.testing.assert_close(y, torch.stack((x[0], 3 * x[1])))
