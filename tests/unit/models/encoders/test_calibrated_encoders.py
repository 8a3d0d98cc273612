"""Encoders run through calibration text: outlier channels, SmoothQuant and rounding by inputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from encoder_models import CONTEXT, tiny
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import CalibrationConfig, QuantRule, RoundingConfig
from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.models.encoders.model import EncoderModel
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.quant.inputs import input_ranges, outlier_channels
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import ResolvedRecipe, resolve
from llm_export.stages.quantization.calibration import calibration_windows
from llm_export.transforms.base import run_transform
from llm_export.transforms.quantize import by_grids
from llm_export.transforms.smooth import smooth

WINDOWS = [[3, 50, 7, 9, 30, 11], [8, 1, 60, 2, 5, 40]]
IDS = torch.tensor(WINDOWS)
DOWN = "layers.0.feed_forward.down"


def encoder(family: str) -> EncoderModel:
    """A tiny one, of which one channel behind the activation is large."""
    torch.manual_seed(0)
    found = TASK_FAMILIES.get(family)
    model: Any = found.build(found.read(tiny(family)), CONTEXT).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        value.normal_(std=1.0 if value.dim() < 2 or "embed" in name else value.shape[-1] ** -0.5)
    model.init_buffers()
    if family == "bert":
        model.get_submodule("layers.0.feed_forward.up").bias[5] = 40.0
    assert isinstance(model, EncoderModel)
    return model


def resolved(*words: str) -> ResolvedRecipe:
    return resolve(api.compose_recipe(None, ["backend=xnnpack", *words]).recipe)


def test_outlier_channels_are_chosen_by_the_inputs() -> None:
    model = encoder("bert")
    before = model.run_text(IDS)
    rules = [QuantRule("8da8w", pattern=DOWN, outliers=1)]
    found = outlier_channels(
        input_ranges(model, [DOWN], WINDOWS), resolve_rules(model, rules, "xnnpack")
    )
    assert found[DOWN].tolist() == [5]

    def error(outliers: dict[str, torch.Tensor]) -> float:
        model = encoder("bert")
        rules = [QuantRule("8da8w", pattern=DOWN, outliers=len(outliers))]
        choices = [c for c in resolve_rules(model, rules, "xnnpack") if c.on_grid]
        made = round_weights(model, choices, RoundingConfig(), outliers=outliers)
        run_transform(by_grids(choices, {n: r.grid for n, r in made.items()}, outliers), model)
        assert isinstance(model.get_submodule(DOWN), OutlierLinear) == bool(outliers)
        return float((model.run_text(IDS) - before).square().mean())

    assert error(found) < error({}) / 4


@pytest.mark.parametrize("family", ["modernbert", "gemma3_text", "qwen3"])
def test_norms_that_feed_linears_alone_are_smoothed(family: str) -> None:
    model = encoder(family)
    before = model.run_text(IDS)
    up = model.get_submodule("layers.0.feed_forward.gate_up.up").weight.clone()  # type: ignore[operator]
    changed = run_transform(smooth(WINDOWS, 0.5), model)
    assert changed == len(model.layers) * 4 - (family == "modernbert")  # its first has one norm
    assert not torch.equal(model.get_submodule("layers.0.feed_forward.gate_up.up").weight, up)  # type: ignore[arg-type]
    assert torch.allclose(model.run_text(IDS), before, atol=1e-4)


def test_gptq_rounds_an_encoder_layer_by_layer() -> None:
    model = encoder("bert")
    rules = [QuantRule("8da4w", pattern=r"layers\..*", group_size=32)]
    choices = [c for c in resolve_rules(model, rules, "xnnpack") if c.on_grid]
    made = round_weights(
        model, choices, RoundingConfig(method="gptq"), outliers={}, windows=WINDOWS
    )
    assert {one.how for one in made.values()} == {"gptq"}
    assert len(made) == 6 * len(model.layers)


def test_each_calibration_window_of_an_encoder_is_a_whole_text() -> None:
    words = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "?": 2, "text": 3}, "?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    source: Any = SimpleNamespace(tokenizer=SimpleNamespace(tokenizer_json=words.to_str()))
    settings = CalibrationConfig(tokens=5, window=4)
    model: Any = SimpleNamespace(context_length=CONTEXT, whole_texts=True)
    found = calibration_windows(settings, source, model)
    assert found == [[0, 2, 2, 1], [0, 2, 2, 1], [0, 2, 1]]


def test_options_give_outlier_channels_to_the_layers_that_have_outliers() -> None:
    found = resolved("model=tiny_embed", "quant=8da8w")
    assert found.recipe.quant.smooth is None
    rule = found.recipe.quant.rules[0]
    assert (rule.scheme, rule.outliers) == ("8da8w", 8)
    assert sum("outlier channels for" in note for note in found.notes) == 1
    assert any("quant.smooth: off, its norms feed the residual" in note for note in found.notes)
    assert resolve(found.recipe).notes == ()
    stated = resolved("model=tiny_embed", "quant.rules=[{scheme: 8da8w, kind: linear}]")
    assert [r.outliers for r in stated.recipe.quant.rules] == [0]
    speech = resolved("model=tiny_whisper", "quant=8da8w")
    assert {r.outliers for r in speech.recipe.quant.rules} == {0}
    assert any("0 instead of 8, calibration text cannot be run" in n for n in speech.notes)


@pytest.mark.parametrize(
    ("model", "override", "words"),
    [
        ("tiny_embed", "quant.smooth={}", "no inputs that can be smoothed: its norms feed"),
        ("tiny_embed", "quant.awq={}", "has no awq yet"),
        ("tiny_embed", "quant.tied=share", "no output matrix to store with an embedding"),
        ("tiny_t5", "quant.rules.1.outliers=4", "no outlier channels: they are chosen by"),
        ("tiny_whisper", "quant.rounding.method=gptq", "has no calibration"),
        ("tiny_t5", "quant.smooth={}", "no inputs that can be smoothed: its parts"),
    ],
)
def test_what_cannot_be_is_refused(model: str, override: str, words: str) -> None:
    recipe = api.compose_recipe(
        None, [f"model={model}", "backend=xnnpack", "quant=8da8w", override]
    ).recipe
    assert words in "\n".join(map(str, find_problems(recipe)))


def test_what_encoders_can_have_is_accepted() -> None:
    rules = "quant.rules=[{scheme: 8da8w, kind: linear, outliers: 4}]"
    words = ["model=tiny_embed", "backend=xnnpack", rules, "quant.rounding.method=gptq"]
    assert find_problems(api.compose_recipe(None, words).recipe) == []
