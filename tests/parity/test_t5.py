"""T5 equals transformers': encoder, decoder stepwise and in chunks, greedy and beam answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seq2seq_models import eager, hf_t5, own_t5
from torch import Tensor

from runtime_py.sampling import Sampling
from runtime_py.seq2seq.beams import beam_search
from runtime_py.seq2seq.search import Search, tokens

FLAN = {"feed_forward_proj": "gated-gelu", "tied": False}


def far(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare(seed: int, source: int, padding: int, target: int, cut: int, **changes: Any) -> None:
    theirs = hf_t5(seed, **changes)
    ours = own_t5(theirs)
    ids = torch.randint(2, theirs.config.vocab_size, (1, source + padding))
    mask = (torch.arange(source + padding) < source).long()[None]
    made = torch.randint(2, theirs.config.vocab_size, (1, target))
    with torch.no_grad():
        out = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=made)
        # A longer source before: nothing of it must be left.
        ours.encode(torch.full((1, 24), 3), torch.ones(1, 24, dtype=torch.int64))
        hidden = ours.encode(ids, mask)
        assert far(hidden[:, :source], out.encoder_last_hidden_state[:, :source]) < 1e-4
        steps = [ours.decode(made[:, i : i + 1], torch.tensor([i])) for i in range(target)]
        assert far(torch.stack(steps, 1), out.logits) < 1e-4
        ours.decode(made[:, :cut], torch.tensor([0]))
        assert far(ours.decode(made[:, cut:], torch.tensor([cut])), out.logits[:, -1]) < 1e-4


@pytest.mark.parametrize("changes", [{}, FLAN], ids=["t5", "flan"])
def test_equals_transformers(changes: dict[str, Any]) -> None:
    compare(0, source=13, padding=4, target=12, cut=5, **changes)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    seed=st.integers(0, 99), source=st.integers(1, 20), padding=st.integers(0, 4),
    target=st.integers(2, 24), heads=st.sampled_from([1, 2, 3, 5]),
    size=st.sampled_from([4, 6, 10]), layers=st.sampled_from([(1, 1), (1, 3), (3, 2)]),
    kind=st.sampled_from(["relu", "gated-gelu", "gated-silu", "gelu"]), tied=st.booleans(),
    buckets=st.sampled_from([4, 6, 32]), longest=st.sampled_from([17, 128]),
)  # fmt: skip
@example(0, 1, 0, 2, 1, 4, (1, 1), "relu", True, 32, 17)
def test_odd_members(
    seed: int, source: int, padding: int, target: int, heads: int, size: int,
    layers: tuple[int, int], kind: str, tied: bool, buckets: int, longest: int,
) -> None:  # fmt: skip
    compare(
        seed, source, padding, target, target // 2, tied=tied, num_heads=heads, d_kv=size,
        d_model=20, num_layers=layers[0], num_decoder_layers=layers[1], feed_forward_proj=kind,
        relative_attention_num_buckets=buckets, relative_attention_max_distance=longest,
    )  # fmt: skip


def answers(
    seed: int,
    beams: int,
    penalty: float,
    early: Any,
    most: int,
    ends: Sequence[int] = (5, 9),
    **changes: Any,
) -> tuple[list[int], list[int]]:
    """(transformers' answer, ours), without the decoder's start."""
    theirs = hf_t5(seed, vocab_size=16, **changes)
    model = eager(own_t5(theirs))
    ids = torch.randint(2, 16, (1, 9), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        wanted = theirs.generate(
            ids, num_beams=beams, length_penalty=penalty, early_stopping=early,
            max_new_tokens=most, do_sample=False, eos_token_id=list(ends), pad_token_id=0,
        )  # fmt: skip
    model.encode((ids, torch.ones_like(ids)))
    search = Search(
        Sampling(max_new_tokens=most), beams=beams, length_penalty=penalty, early_stopping=early
    )
    if beams == 1:
        ours = [each.id for each in tokens(model, [0], (), ends, search)]
        return wanted[0, 1:].tolist(), ours
    return wanted[0, 1:].tolist(), list(beam_search(model, [0], (), ends, search)[0].tokens)


@pytest.mark.parametrize(("beams", "seed"), [(1, 0), (3, 1), (4, 7)])
def test_answers_equal_transformers(beams: int, seed: int) -> None:
    wanted, ours = answers(seed, beams, 1.0, False, 12)
    assert ours == wanted


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 200), beams=st.integers(1, 6),
    penalty=st.sampled_from([1.0, 0.0, 2.0, -1.0, 0.6]),
    early=st.sampled_from([False, True, "never"]), most=st.integers(1, 20), tied=st.booleans(),
    ends=st.sampled_from([(1,), (5, 9), (3,), (2, 4, 6, 8, 10)]),
)  # fmt: skip
def test_searches_equal_transformers(
    seed: int, beams: int, penalty: float, early: Any, most: int, tied: bool, ends: tuple[int, ...]
) -> None:
    wanted, ours = answers(seed, beams, penalty, early, most, ends, tied=tied)
    assert ours == wanted
