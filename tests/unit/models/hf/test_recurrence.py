"""Recurrences token by token against the library's forms for several tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers.models.kimi_linear import modeling_kimi_linear as kimi
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2
from transformers.models.qwen3_5 import modeling_qwen3_5 as qwen

from llm_export.models.hf.recurrence import delta_rule, mamba, mamba2

TOKENS = 11


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def delta_inputs(per_channel: bool) -> dict[str, Any]:
    keys = 4 if per_channel else 2
    decay = (1, TOKENS, 4, 8) if per_channel else (1, TOKENS, 4)
    return {
        "query": rand(1, TOKENS, keys, 8) - 0.4, "key": rand(1, TOKENS, keys, 8) - 0.6,
        "value": rand(1, TOKENS, 4, 6) - 0.5, "g": -rand(*decay), "beta": rand(1, TOKENS, 4),
        "output_final_state": True, "use_qk_l2norm_in_kernel": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("own", "per_channel"),
    [(qwen.torch_chunk_gated_delta_rule, False), (kimi.chunk_kimi_delta_attention, True)],
    ids=["gated", "kimi"],
)
def test_the_delta_rule(own: Callable[..., Any], per_channel: bool) -> None:
    inputs, state = delta_inputs(per_channel), rand(1, 4, 8, 6)
    theirs = own(**inputs, initial_state=state)
    ours = delta_rule(**inputs, initial=state)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert delta_rule(**{**inputs, "output_final_state": False})[1] is None


@pytest.mark.parametrize("limit", [(0.0, float("inf")), (0.7, 0.9)])
def test_mamba2(limit: tuple[float, float]) -> None:
    inputs: dict[str, Any] = {
        "hidden_states": rand(1, TOKENS, 4, 6) - 0.5, "dt": rand(1, TOKENS, 4), "A": -rand(4),
        "B": rand(1, TOKENS, 2, 8), "C": rand(1, TOKENS, 2, 8) - 0.3, "D": rand(4),
        "dt_bias": rand(4), "dt_softplus": True, "dt_limit": limit, "return_final_states": True,
    }  # fmt: skip
    state = rand(1, 4, 6, 8)
    theirs = modeling_mamba2.mamba2_chunk_scan(**inputs, chunk_size=4, initial_states=state)
    torch.testing.assert_close(mamba2(**inputs, initial=state), theirs, rtol=1e-4, atol=1e-5)


def test_mamba() -> None:
    """The library's form begins with an empty state: the second half of a text continues."""
    inputs: dict[str, Any] = {
        "hidden_states": rand(1, 6, TOKENS) - 0.5, "dt": rand(1, 6, TOKENS),
        "B": rand(1, 8, TOKENS), "C": rand(1, 8, TOKENS) - 0.3, "z": rand(1, 6, TOKENS) - 0.5,
    }  # fmt: skip
    fixed: dict[str, Any] = {
        "A": -rand(6, 8), "D": rand(6), "delta_bias": rand(6), "delta_softplus": True,
        "return_last_state": True,
    }  # fmt: skip
    theirs, last = modeling_mamba.mamba_selective_scan(**inputs, **fixed)
    first = mamba(**{k: v[..., :4] for k, v in inputs.items()}, **fixed)
    second = mamba(**{k: v[..., 4:] for k, v in inputs.items()}, **fixed, initial=first[1])
    torch.testing.assert_close(torch.cat([first[0], second[0]], -1), theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second[1], last, rtol=1e-4, atol=1e-5)
