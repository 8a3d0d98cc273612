"""The comparison of programs with an encoder and a decoder: a damaged one breaks its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from seq2seq_models import call_of, hf_t5, own_t5
from torch import Tensor

from llm_export.bundle.measures import LOWERING
from llm_export.tasks import decoded
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.decoded import Case, compare_decoded
from llm_export.tasks.transcription.sounds import sounds

Call = Callable[[str, Sequence[Tensor]], list[Tensor]]


def compared(monkeypatch: pytest.MonkeyPatch, damage: Callable[[Call], Call]) -> Comparison:
    model, program = (own_t5(hf_t5(0)) for _ in range(2))
    monkeypatch.setattr(decoded, "program_of", lambda bundle: damage(call_of(program)))
    verify = SimpleNamespace(
        lowering=SimpleNamespace(max_mean_kl=1e-3, min_top1=0.98),
        quality=SimpleNamespace(max_mean_kl=None, min_top1=None), noise_factor=2.0,
    )  # fmt: skip
    recipe = SimpleNamespace(verify=verify, quant=SimpleNamespace(rules=[1]))
    resolved: Any = SimpleNamespace(recipe=recipe, methods=SimpleNamespace(dynamic=True))
    source: Any = None
    subject = Subject(Path(), model, lambda: own_t5(hf_t5(0)), source, resolved, None)
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    cases = [Case((row[None], torch.ones(1, 4, dtype=torch.int64)), (0,)) for row in ids]
    return compare_decoded(subject, cases, 6, lambda done, total: None, "answers to 2 texts")


def broken(found: Comparison) -> set[str]:
    return {m.name for m in found.measures if m.of == LOWERING and not m.kept}


def test_a_sound_program_keeps_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(monkeypatch, lambda call: call)
    assert not broken(found)
    assert found.count == "12 tokens of answers to 2 texts"
    assert found.word == "lossless"


def test_a_decoder_that_does_not_see_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def damage(call: Call) -> Call:
        first: list[Sequence[Tensor]] = []

        def other(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
            if name == "encoder":
                first.append(inputs)
                found = [each.clone() for each in call(name, inputs)]
                call(name, first[0])  # its caches keep the first source
                return found
            return call(name, inputs)

        return other

    assert broken(compared(monkeypatch, damage)) >= {"lowering_kl"}


def test_an_encoder_with_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def damage(call: Call) -> Call:
        def other(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
            found = [each.clone() for each in call(name, inputs)]
            if name == "encoder":
                found[0][0, 0, 0] = torch.nan
            return found

        return other

    assert broken(compared(monkeypatch, damage)) == {"lowering_encoder"}


def test_sounds_are_the_same_everywhere_and_differ() -> None:
    made = sounds(8, 8000, 16000)
    assert all(torch.equal(a, b) for a, b in zip(made, sounds(8, 8000, 16000), strict=True))
    assert all(0.2 < float(each.abs().max()) <= 0.31 for each in made)
    assert len({float(each.std()) for each in made}) == 8
