"""Programs that cannot go back by themselves go back to marks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from runtime_py import LLM, marks
from runtime_py.marks import Mark, Marks
from runtime_py.program_state import ProgramState, StateTensor

FIRST = list(range(3, 33))


@pytest.fixture(scope="module")
def loaded(recurrent_bundle: Path) -> LLM:
    return LLM.load(recurrent_bundle)


@pytest.fixture(scope="module")
def fresh(recurrent_bundle: Path) -> LLM:
    return LLM.load(recurrent_bundle)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


def asked(llm: LLM, fresh: LLM, prompt: list[int]) -> int:
    """Tokens of a prompt that need not be fed; the answer is that of a program without history."""
    fresh.reset()
    expected = fresh.generate(prompt, max_new_tokens=8, temperature=0).tokens
    made = llm.generate(prompt, max_new_tokens=8, temperature=0)
    assert made.tokens == expected
    return made.stats.cached_tokens


def test_a_next_turn_goes_on_at_the_last_prompts_end(llm: LLM, fresh: LLM) -> None:
    assert asked(llm, fresh, FIRST) == 0
    # not the answer that was given, as of a template that leaves the reasoning out
    second = [*FIRST, 200, 201, 202]
    assert asked(llm, fresh, second) == len(FIRST)
    assert asked(llm, fresh, [*second, 210, 211]) == len(second)
    # and of earlier turns, when the last question is asked in other words
    assert asked(llm, fresh, [*FIRST, 220]) == len(FIRST)


def test_what_a_template_takes_back_is_learnt(llm: LLM, fresh: LLM) -> None:
    opening = [100, 101]
    assert asked(llm, fresh, [*FIRST, *opening]) == 0
    second = [*FIRST, 200, 201]
    assert asked(llm, fresh, [*second, *opening]) == 0
    assert asked(llm, fresh, [*second, 202, *opening]) == len(second)
    assert asked(llm, fresh, [*second, 202, *opening]) == len(second) + 1  # the same again


def test_a_mark_ends_with_its_text(llm: LLM, fresh: LLM) -> None:
    asked(llm, fresh, FIRST)
    assert asked(llm, fresh, [99, *FIRST[1:]]) == 0
    assert asked(llm, fresh, [*FIRST, 7]) == 0
    llm.reset()
    assert asked(llm, fresh, [*FIRST, 7]) == 0


def mark(position: int) -> Mark:
    return Mark(position, position, {"a": torch.zeros(250)})


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Marks()
    for position in range(10, 20):
        kept.add(mark(position))
    kept.add(mark(19))
    assert len(kept) == marks._MOST
    assert kept.last(15) is None
    assert kept.last(17) is not None
    kept.forget(16)
    assert [each.position for each in kept._kept] == [16]
    monkeypatch.setattr(marks, "_BYTES", 2500)
    for position in range(20, 24):
        kept.add(mark(position))
    assert [each.position for each in kept._kept] == [22, 23]
    monkeypatch.setattr(marks, "_BYTES", 10)
    kept.add(mark(30))
    assert len(kept) == 0


def test_a_ring_is_copied_whole_once_it_has_turned() -> None:
    cache, ring, state = torch.rand(1, 8, 2), torch.rand(1, 4, 2), torch.rand(1, 3)
    named = [
        StateTensor("cache", (1, 8, 2), torch.float32, 1),
        StateTensor("ring", (1, 4, 2), torch.float32, 1),
        StateTensor("state", (1, 3), torch.float32, None),
    ]
    kept = ProgramState(named, lambda: [cache, ring, state], 8)
    sizes = {name: list(t.shape) for name, t in kept.copied(3, 3).items()}
    assert sizes == {"cache": [1, 3, 2], "ring": [1, 3, 2], "state": [1, 3]}
    for position, furthest in ((6, 6), (3, 6)):  # gone back, in slots that were written again
        copied = kept.copied(position, furthest)
        assert list(copied["cache"].shape) == [1, position, 2]
        assert list(copied["ring"].shape) == [1, 4, 2]
    assert set(kept.copied(3, 3, changing=True)) == {"ring", "state"}
    before = [t.clone() for t in (ring, state)]
    copied = kept.copied(6, 6, changing=True)
    ring.zero_()
    state.zero_()
    kept.put(copied, 6, 6)
    assert torch.equal(ring, before[0])
    assert torch.equal(state, before[1])
    assert kept.mismatch(kept.copied(6, 6), 6, 6) == ""
    assert "ring is" in kept.mismatch(kept.copied(6, 6), 6, 3)
