"""How a benchmark fills caches up to a depth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from runtime_py import LLM
from runtime_py.benchmark import depth


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "FED", 8)
    monkeypatch.setattr(depth, "COPIED_FROM", 16)


def test_deep_caches_hold_copies_of_the_first_slots(quantized_bundle: Path) -> None:
    with LLM.load(quantized_bundle) as llm:
        program = llm.program
        depth.go_to(program, 29, 100)
        assert program.position == 29
        for dim, rows in ((d, t) for _, d, t in program.rows(0).between(0, 29)):
            fed = rows.narrow(dim, 0, 8)
            assert fed.any()
            assert torch.equal(rows, torch.cat([fed] * 4, dim).narrow(dim, 0, 29))
        first = program.step([1])
        depth.go_to(program, 29, 100)  # nothing is filled again
        assert torch.equal(program.step([1]), first)


def test_shallow_caches_and_recurrent_states_are_computed(recurrent_bundle: Path) -> None:
    with LLM.load(recurrent_bundle) as llm:
        program = llm.program
        depth.go_to(program, 29, 100)
        found = program.step([1])
        program.reset()
        program.prefill(depth.prompt_of(8, 100))
        program.prefill(depth.prompt_of(21, 100, 8))
        assert torch.equal(program.step([1]), found)
