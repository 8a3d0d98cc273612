"""Sampling: the same distributions as transformers' logits processors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from runtime_py import BundleRuntimeError, Sampling
from runtime_py.sampling import Sampler


def theirs(s: Sampling, logits: torch.Tensor, seen: list[int]) -> torch.Tensor:
    """Probabilities [V] after the processors that transformers would apply, in its order."""
    steps = LogitsProcessorList()
    if s.repetition_penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(float(s.repetition_penalty)))
    steps.append(TemperatureLogitsWarper(float(s.temperature)))
    if s.top_k:
        steps.append(TopKLogitsWarper(s.top_k))
    if s.top_p < 1:
        steps.append(TopPLogitsWarper(s.top_p))
    steps.append(MinPLogitsWarper(s.min_p))
    ids = torch.LongTensor([seen])
    return torch.softmax(steps(ids, logits[None].clone())[0], -1)


@given(
    seed=st.integers(0, 1000),
    seen=st.lists(st.integers(0, 29), min_size=1, max_size=12),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.3, 3),
)
def test_distributions_are_those_of_transformers(
    seed: int, seen: list[int], **settings: Any
) -> None:
    logits = 3 * torch.randn(30, generator=torch.Generator().manual_seed(seed))
    sampling = Sampling(**settings)
    made = Sampler(sampling, seed=0, seen=seen).probabilities(logits)
    assert torch.allclose(made, theirs(sampling, logits, seen), atol=1e-6)
    assert made[Sampler(sampling, seed=0, seen=seen)(logits)] > 0


def test_what_was_generated_counts_as_seen() -> None:
    logits = torch.tensor([1.0, 3.0, 2.9, -1.0])
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    assert [sampler(logits) for _ in range(4)] == [1, 2, 1, 1]
    assert Sampler(Sampling(repetition_penalty=2.0), seen=[1])(logits) == 2
    assert Sampler(Sampling(), seen=[1])(logits) == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("temperature", -1, "a number from 0"), ("temperature", "hot", "a number from 0"),
        ("temperature", float("nan"), "a number from 0"), ("temperature", True, "a number from 0"),
        ("top_k", 1.5, "a whole number from 0"), ("top_k", -1, "a whole number from 0"),
        ("top_p", 0, "in (0, 1]"), ("top_p", None, "in (0, 1]"), ("min_p", 1.1, "in [0, 1]"),
        ("repetition_penalty", 0, "a number from 1e-30"), ("max_new_tokens", 0, "from 1"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_named(name: str, value: Any, text: str) -> None:
    with pytest.raises(BundleRuntimeError) as caught:
        Sampling(**{name: value})
    assert caught.value.what.startswith(f"{name} must be ")
    assert text in caught.value.what
    assert repr(value) in caught.value.what


def test_greedy_and_top_k_one_agree() -> None:
    logits = torch.tensor([0.1, 3.0, 2.0])
    assert Sampler(Sampling())(logits) == 1
    assert Sampler(Sampling(temperature=5.0, top_k=1), seed=0)(logits) == 1


def test_a_seed_reproduces_and_top_p_limits() -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(1))
    draw = [Sampler(Sampling(temperature=1.0), seed=7) for _ in range(2)]
    assert [draw[0](logits) for _ in range(20)] == [draw[1](logits) for _ in range(20)]
    narrow = Sampler(Sampling(temperature=1.0, top_p=0.01), seed=3)
    assert {narrow(logits) for _ in range(50)} == {int(logits.argmax())}


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([0.7, 0.2, 0.1]).log()
    sampler = Sampler(Sampling(temperature=1.0), seed=0)
    counts = torch.bincount(torch.tensor([sampler(logits) for _ in range(4000)]), minlength=3)
    assert torch.allclose(counts / 4000, torch.tensor([0.7, 0.2, 0.1]), atol=0.03)


def test_ids_that_are_never_sampled() -> None:
    logits, never = torch.tensor([1.0, 9.0, float("nan"), 2.0]), torch.tensor([1, 2])
    for sampling in (Sampling(), Sampling(temperature=5.0), Sampling(temperature=5.0, top_k=3)):
        assert {Sampler(sampling, seed=s, never=never)(logits) for s in range(20)} <= {0, 3}
    assert (
        Sampler(Sampling(temperature=1.0), seed=0, never=never).probabilities(logits)[1:3].sum()
        == 0
    )
