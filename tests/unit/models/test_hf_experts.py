"""Experts of transformers' models as linears of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralExperts

from llm_export.config.quant_schema import QuantRule
from llm_export.models.hf.experts import separate_experts
from llm_export.quant.rules import resolve_rules


def layer() -> Any:
    """A module whose child ``experts`` is the library's, with two experts."""
    torch.manual_seed(0)
    config = MixtralConfig(hidden_size=32, intermediate_size=64, num_local_experts=2)
    config._experts_implementation = "eager"
    parent: Any = nn.Module()
    parent.experts = MixtralExperts(config).requires_grad_(False)
    for parameter in parent.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2)
    return parent


def test_they_compute_what_the_library_does_in_both_forms() -> None:
    parent, x = layer(), torch.randn(5, 32)
    # 2 is beyond the experts: it selects none.
    chosen = torch.tensor([[0, 1], [1, 2], [1, 0], [2, 1], [0, 2]])
    weights = torch.rand(5, 2)
    expected = parent.experts(x, chosen, weights)
    separate_experts(parent)
    torch.testing.assert_close(parent.experts(x, chosen, weights), expected)
    parent.experts.active_only = True
    torch.testing.assert_close(parent.experts(x, chosen, weights), expected)


def test_rules_name_and_quantize_each() -> None:
    parent = layer()
    separate_experts(parent)
    one = QuantRule(pattern=r".*experts\.1\..*", scheme="8da8w")
    rules = [one, QuantRule(scheme="8da4w", group_size=32)]
    found = {c.name: c.scheme for c in resolve_rules(parent, rules)}
    assert found == {
        "experts.0.up": "8da4w", "experts.0.down": "8da4w",
        "experts.1.up": "8da8w", "experts.1.down": "8da8w",
    }  # fmt: skip
    assert not [name for name, p in parent.named_parameters() if p.dim() == 3]
