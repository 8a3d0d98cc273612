"""BitNet's linears of transformers, which the comparison of a checkpoint replaces."""

from __future__ import annotations

import pytest
import torch
from published_models import ternary
from torch import nn
from transformers.integrations.bitnet import AutoBitLinear, BitLinear, pack_weights

from llm_export.compat.transformers_ternary import float_linears

WEIGHT = torch.randn(8, 12)
SIGNS, SCALE = ternary(WEIGHT)


def online() -> nn.Module:
    made = AutoBitLinear(12, 8, bias=True, online_quant=True)
    made.weight.data = WEIGHT.clone()
    return made


def scaled() -> nn.Module:
    made = AutoBitLinear(12, 8, bias=True)
    made.weight.data, made.weight_scale.data = SIGNS.clone(), SCALE
    return made


def packed() -> nn.Module:
    made = BitLinear(12, 8, bias=True, dtype=torch.float32)
    made.weight.data, made.weight_scale.data = pack_weights(SIGNS.clone()), 1 / SCALE
    return made


@pytest.mark.parametrize("make", [online, scaled, packed])
def test_their_weights_without_the_rounding_of_inputs(make: object) -> None:
    module = make()  # type: ignore[operator]
    module.bias.data = torch.arange(8.0)
    added = torch.arange(8.0) * (SCALE if make is scaled else 1)
    model = nn.Sequential(module, nn.Linear(8, 4))
    assert float_linears(model) == 1
    assert type(model[0]) is nn.Linear
    x = torch.randn(3, 12)
    expected = x @ (SIGNS * SCALE).T + added
    assert torch.allclose(model[0](x), expected, atol=1e-5)
    with torch.compiler.set_stance("force_eager"):
        rounded = module(x)
    error = float((rounded - expected).abs().max() / expected.abs().max())
    assert 1e-4 < error < 0.05, "the library rounds inputs to 8 bits"
