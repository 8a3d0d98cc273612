"""Sampling: the same distributions as transformers' logits processors."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    TypicalLogitsWarper,
)

from runtime_py import ArgumentError, BundleRuntimeError, Sampling
from runtime_py.sampling import Sampler
from runtime_py.sampling.distribution import draw
from runtime_py.sampling.logprobs import token_logprob
from runtime_py.sampling.threads import one_thread


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
    if s.typical_p < 1:
        steps.append(TypicalLogitsWarper(float(s.typical_p)))
    ids = torch.LongTensor([seen])
    return torch.softmax(steps(ids, logits[None].clone())[0], -1)


@given(
    seed=st.integers(0, 1000),
    seen=st.lists(st.integers(0, 29), min_size=1, max_size=12),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 1),
    typical_p=st.sampled_from([1.0, 0.99, 0.7, 0.2]),
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


@pytest.mark.parametrize("settings", [{"top_p": 0.999}, {"typical_p": 0.999}, {"top_p": 0.3}])
def test_the_first_candidates_give_what_the_whole_vocabulary_would(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 tokens of which hundreds are in the set: more than the first candidates."""
    logits = torch.randn(3000, generator=torch.Generator().manual_seed(2))
    sampler = Sampler(Sampling(temperature=1.0, **settings))
    made = sampler.probabilities(logits)
    monkeypatch.setattr("runtime_py.sampling.distribution._FEW", ())
    assert torch.allclose(made, sampler.probabilities(logits), atol=1e-7)
    assert torch.allclose(made, theirs(Sampling(temperature=1.0, **settings), logits, [0]),
                          atol=1e-6)  # fmt: skip


def test_a_draw_never_takes_what_has_no_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.tensor([0.0, 1e-30, 0.0, 1.0, 0.0])
    assert {draw(probabilities, generator) for _ in range(200)} == {3}
    whole = torch.Generator()
    whole.manual_seed(0)
    monkey = probabilities.index_fill(0, torch.tensor([3]), 0)
    assert {draw(monkey, whole) for _ in range(50)} == {1}


def test_presence_and_frequency_are_of_the_answer_alone() -> None:
    """As vLLM and OpenAI's API: logits[t] -= presence * (count > 0) + frequency * count."""
    logits = torch.tensor([2.0, 3.0, 2.5, -1.0])
    sampler = Sampler(Sampling(presence_penalty=0.4, frequency_penalty=0.3), seen=[1])
    # 1 (3.0 -> 2.3), 2 (2.5 -> 1.8), 1 (2.3 -> 2.0), then 0 before 1: 2.0 against 2.0, by index.
    assert [sampler(logits) for _ in range(4)] == [1, 2, 1, 0]


def test_bias_and_processor_come_before_the_penalties() -> None:
    logits = torch.tensor([1.0, 1.0, 1.0])
    assert Sampler(Sampling(), bias={2: 0.5})(logits) == 2
    assert Sampler(Sampling(), bias={0: -math.inf, 2: -1})(logits) == 1
    assert logits.tolist() == [1.0, 1.0, 1.0]
    calls: list[list[int]] = []

    def last(ids: list[int], scores: torch.Tensor) -> torch.Tensor:
        calls.append(ids)
        scores[len(ids) % 3] += 5
        return scores

    sampler = Sampler(Sampling(), seen=[1], processor=last)
    assert [sampler(logits) for _ in range(3)] == [1, 2, 0]
    assert calls == [[1], [1, 1], [1, 1, 2]]
    assert logits.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ArgumentError, match="must return logits of shape"):
        Sampler(Sampling(), processor=lambda ids, scores: scores[:2])(logits)


def test_log_probabilities() -> None:
    logits = torch.randn(40, generator=torch.Generator().manual_seed(3))
    real = torch.log_softmax(logits, 0)
    found = token_logprob(logits, 7, top=3)
    assert found.logprob == pytest.approx(float(real[7]), abs=1e-6)
    assert [i for i, _ in found.top] == real.topk(3).indices.tolist()
    assert [p for _, p in found.top] == pytest.approx(real.topk(3).values.tolist(), abs=1e-6)
    assert token_logprob(logits, 7).top == ()


def test_the_threads_of_torch_are_as_before() -> None:
    before = torch.get_num_threads()
    Sampler(Sampling())(torch.tensor([1.0, 2.0]))
    with pytest.raises(BundleRuntimeError):
        Sampler(Sampling())(torch.full((3,), torch.nan))
    assert torch.get_num_threads() == before


def test_threads_that_sample_at_once_restore_the_number_of_threads() -> None:
    """torch gives new threads the number that was set last."""
    before, go = torch.get_num_threads(), threading.Event()
    torch.set_num_threads(2)

    def sample() -> None:
        with one_thread():
            go.wait(5)

    try:
        with one_thread():
            other = threading.Thread(target=sample)
            other.start()
            time.sleep(0.05)
        go.set()
        other.join()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)
