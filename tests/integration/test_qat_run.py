"""A model that is trained to be quantized, lowered for XNNPACK and run from disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import qat_tools as tools
import torch

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Prepared
from llm_export.quant.observers import load_ranges
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.train import loop_settings
from llm_export.stages.training.loop import fit
from llm_export.stages.training.losses import cross_entropy
from llm_export.stages.training.qat import train_form
from llm_export.stages.training.student import captured, forward_of
from llm_export.stages.training.text import training_windows
from llm_export.stages.verification.logits import eager_logits, program_logits
from runtime_py import LLM

WORDS = [
    "model=tiny", "backend=xnnpack", "quant=8da4w", "train=qat", "train.loss=cross_entropy",
    "train.steps=50", "train.window=32", "train.batch=2", "train.learning_rate=3e-3",
    "benchmark=off", "verify.positions=200", "verify.window=64", "verify.prefill=16",
    "runtime.context_length=64", "runtime.prefill_length=32", "train.max_perplexity_ratio=1.0",
]  # fmt: skip


def fake_quantized(recipe: Recipe, ids: list[int]) -> tuple[torch.Tensor, Prepared]:
    """Logits of the model in training, after the training that the run did, and the trained
    model with its float weights."""
    prepared = tools.prepared_of(recipe)
    prepared.model.set_attention("cacheless")
    windows = training_windows(recipe, prepared.source)
    with train_form(prepared.model, prepared.choices, recipe.train) as form:
        forward = forward_of(prepared.model)
        loss = cross_entropy(forward)
        fit(prepared.model, form.trained, windows, loss, loop_settings(recipe.train))
        with torch.no_grad():
            logits = forward(torch.tensor([ids]))[0]
    prepared.model.set_attention("plain")
    return logits, prepared


@pytest.mark.slow
def test_the_program_computes_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))
    composed = api.compose_recipe(None, [*WORDS, f"out={tmp_path / 'bundle'}"])
    result = api.run_recipe(composed, quiet=True)
    stages = {s.name: s.facts for s in result.record.stages}
    curve = stages["train"]["curve"]
    assert len(curve) == 50
    assert curve[-1] < 0.7 * curve[0]
    assert stages["quantize"]["trained_values"]["exact"] == 10
    assert stages["verify"]["quality_compares_with"] == "the float32 model before training"
    compared = json.loads((result.bundle / "parity.json").read_text())["comparisons"]
    # It was trained on the text: the float model was not.
    assert compared["quality"]["perplexity"] < 0.5 * compared["quality"]["reference_perplexity"]
    assert compared["lowering"]["mean_kl"] < 1e-4

    ids = list(range(40, 88))
    expected, prepared = fake_quantized(composed.recipe, ids)
    program = program_logits(LLM.load(result.bundle).program, ids, len(ids) - 1)
    lowered = tools.mean_kl(expected[-2:], program)
    assert lowered < 1e-4

    # The same trained weights on other grids.
    others = {}
    for name, words in {
        "min-max, group 64": ["quant.group_size=64"],
        "8-bit": ["quant=8da8w", "quant.smooth=null"],
    }.items():
        recipe = api.compose_recipe(None, [*WORDS, *words]).recipe
        off = replace(recipe, train=replace(recipe.train, enabled=False))
        again = tools.prepared_of(off)
        again.model.load_state_dict(prepared.model.state_dict(), strict=False)
        other, _ = tools.quantized_of(off, again)
        others[name] = tools.mean_kl(expected, tools.logits(other, torch.tensor([ids])))
    print(f"mean KL to the fake-quantized model: program {lowered:.2g}; {others}")
    assert all(kl > 10 * lowered for kl in others.values())


STATIC = [
    *WORDS, "quant=8a8w", "quant.calibration.tokens=256",
    "quant.rules=[{kind: linear, scheme: 8a8w}, {kind: head, scheme: 8a8w}]",
]  # fmt: skip


def in_training(recipe: Recipe, trained: Prepared, ids: list[int]) -> torch.Tensor:
    """Logits of the graph that was trained, with what it learned."""
    trained.model.set_attention("cacheless")
    names = [c.name for c in trained.choices if c.scheme == "8a8w"]
    quantizer = BACKENDS.get("xnnpack").quantizer(resolve(recipe), names, training=True)
    student = captured(trained.model, len(ids), quantizer)
    _, unknown = load_ranges(student.module, trained.ranges)  # type: ignore[arg-type]
    assert not unknown
    with torch.no_grad():
        return student.forward(torch.tensor([ids]))[0]


@pytest.mark.release
def test_a_static_program_computes_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT2E QAT: the ranges of activations are those of training, not of calibration."""
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))
    composed = api.compose_recipe(None, [*STATIC, f"out={tmp_path / 'bundle'}"])
    result = api.run_recipe(composed, quiet=True)
    stages = {s.name: s.facts for s in result.record.stages}
    curve = stages["train"]["curve"]
    assert len(curve) == 50
    assert curve[-1] < 0.8 * curve[0]
    assert stages["export"]["ranges"]["calibrated"] == 0 < stages["export"]["ranges"]["trained"]

    ids = list(range(40, 88))
    recipe = composed.recipe
    trained, _ = tools.trained_of(recipe)
    expected = in_training(recipe, trained, ids)
    program = program_logits(LLM.load(result.bundle).program, ids, 1)
    lowered = tools.mean_kl(expected, program)
    assert lowered < 1e-4

    # The same weights, calibrated as if they had not been trained.
    trained.model.set_attention("plain")
    ctx = tools.context()
    again = tools.quantized_of(recipe, replace(trained, ranges={}))[0]
    calibrated = export(again, resolve(recipe), ctx).transformed.model
    assert ctx.record.facts["ranges"]["trained"] == 0
    other = tools.mean_kl(expected, eager_logits(calibrated, ids))
    print(f"mean KL to the fake-quantized model: program {lowered:.2g}; calibrated {other:.2g}")
    assert other > max(1e-3, 10 * lowered)
