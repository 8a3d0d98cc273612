"""The comparison of programs with an encoder and a decoder: a damaged one breaks its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from seq2seq_models import SIZES, call_of, hf_t5, own_t5
from torch import Tensor, nn

from llm_export.bundle.measures import LOWERING
from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.compat.torchao_tensors import dequantized_once, integer_tensor
from llm_export.models.seq2seq.t5 import T5
from llm_export.models.seq2seq.t5_family import FAMILY
from llm_export.tasks import decoded
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.decoded import Case, compare_decoded
from llm_export.tasks.transcription.sounds import sounds

Call = Callable[[str, Sequence[Tensor]], list[Tensor]]


def compared(
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Call], Call],
    models: Callable[[], T5] = lambda: own_t5(hf_t5(0)),
    steps: int = 6,
    alter: Callable[[T5], T5] = lambda model: model,
) -> Comparison:
    """
    Args:
        damage, alter: make another program, or another model, of the exported one.
    """
    program = alter(models())
    monkeypatch.setattr(decoded, "program_of", lambda bundle: damage(call_of(program)))
    verify = SimpleNamespace(
        lowering=SimpleNamespace(max_mean_kl=1e-3, min_top1=0.98),
        quality=SimpleNamespace(max_mean_kl=None, min_top1=None), noise_factor=2.0,
    )  # fmt: skip
    recipe = SimpleNamespace(verify=verify, quant=SimpleNamespace(rules=[1]))
    resolved: Any = SimpleNamespace(recipe=recipe, methods=SimpleNamespace(dynamic=True))
    source: Any = None
    subject = Subject(Path(), models(), models, source, resolved, None)
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    cases = [Case((row[None], torch.ones(1, 4, dtype=torch.int64)), (0,)) for row in ids]
    return compare_decoded(subject, cases, steps, lambda done, total: None, "answers to 2 texts")


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


def quantized(seed: int) -> T5:
    """Random weights and activations of 8 bits."""
    config = {**SIZES, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6}
    model = FAMILY.build(FAMILY.from_hf({**config, "tie_word_embeddings": False}), 24)
    assert isinstance(model, T5)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    model.load_state_dict(dict(RandomCheckpoint(seed, shapes).tensors()), strict=False)
    model.requires_grad_(False).scale_random()
    model.init_buffers()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            scale = module.weight.abs().amax(1, keepdim=True) / 127
            zero = torch.zeros_like(scale, dtype=torch.int8)
            q = (module.weight / scale).round().to(torch.int8)
            weight = integer_tensor(q, scale, zero, 8, q.shape[1], True)
            module.weight = nn.Parameter(weight, requires_grad=False)
    return model.eval()


def off(model: T5, factor: float, *, only: str = "") -> T5:
    """With outputs of linear layers that are multiplied, as other kernels or a wrong scale do."""
    noise = torch.Generator().manual_seed(1)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and only in name:
            module.register_forward_hook(
                lambda m, inputs, out: (
                    out * (factor if only else 1 + factor * torch.randn(out.shape, generator=noise))
                )
            )
    return model


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_rounding_is_told_from_a_wrong_scale(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(alter: Callable[[T5], T5]) -> Comparison:
        return compared(monkeypatch, lambda call: call, lambda: quantized(seed), 8, alter)

    right = found(lambda model: off(model, 1e-6))
    assert not broken(right), right.measures
    for name in ("encoder.1.ffn.down", "decoder.0.cross.v"):
        wrong = found(lambda model, name=name: off(model, 1.05, only=name))  # type: ignore[misc]
        assert broken(wrong), (name, wrong.measures)


def test_weights_are_dequantized_once() -> None:
    model = quantized(0)
    head, x = model.head, torch.randn(3, 32)
    wanted = head(x)
    with dequantized_once(model):
        assert head.weight.dequantize() is head.weight.dequantize()
        assert torch.equal(head(x), wanted)
    assert head.weight.dequantize() is not head.weight.dequantize()


def test_sounds_are_the_same_everywhere_and_differ() -> None:
    made = sounds(8, 8000, 16000)
    assert all(torch.equal(a, b) for a, b in zip(made, sounds(8, 8000, 16000), strict=True))
    assert all(0.2 < float(each.abs().max()) <= 0.31 for each in made)
    assert len({float(each.std()) for each in made}) == 8
