"""The shipped speech models: as many parameters as the published weights, and sound options."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
import torch
import yaml

from llm_export.config.composed import Composed
from llm_export.models.programs.definition import build_on_meta
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.speech.model import SpeechModel
from llm_export.models.speech.options import TranscribeOptions
from llm_export.models.task import task_options

# Parameters of the published weights, positions of the encoder included.
PUBLISHED = {
    "whisper_tiny": 37_760_640,
    "whisper_tiny_en": 37_760_256,
    "whisper_base": 72_593_920,
    "whisper_base_en": 72_593_408,
    "whisper_small": 241_734_912,
    "whisper_large_v3_turbo": 808_878_080,
    "moonshine_tiny": 27_092_736,
    "moonshine_base": 61_513_920,
}
TEXTS = {
    file.name.removesuffix(".yaml"): file.read_text()
    for file in resources.files("llm_export.conf").joinpath("model").iterdir()
    if file.name.endswith(".yaml") and "  task: transcribe" in file.read_text()
}


def built(option: str) -> SpeechModel:
    model = yaml.safe_load(TEXTS[option])["model"]
    family = TASK_FAMILIES.get(model["family"])
    config = family.from_hf(model["config"])
    limit = family.context_limit(config)
    assert limit is not None
    made = build_on_meta(family, config, limit[0])
    assert isinstance(made, SpeechModel)
    return made


def test_each_published_model_is_here() -> None:
    assert set(TEXTS) - set(PUBLISHED) == {"tiny_whisper", "tiny_moonshine"}


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_has_the_parameters_of_the_published_weights(option: str) -> None:
    assert sum(p.numel() for p in built(option).parameters()) == PUBLISHED[option]


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_names_itself_its_weights_and_their_licence(option: str) -> None:
    body: dict[str, Any] = yaml.safe_load(TEXTS[option])
    assert body["model"]["name"] == option
    assert body["checkpoint"].get("hf_id")
    assert "(" in TEXTS[option].splitlines()[1], "the second line says the licence"
    assert len(body["model"]["description"]) <= 90


@pytest.mark.parametrize("option", ["tiny_whisper", "tiny_moonshine", "whisper_tiny_en"])
def test_a_runtime_is_told_what_it_needs(option: str, composed: Callable[..., Composed]) -> None:
    options, model = task_options(composed(f"model={option}").recipe), built(option)
    told = model.settings(options)
    assert told["sample_rate"] == 16000
    assert told["start_ids"]
    assert told["eos_ids"]
    assert told["target_length"] == model.context_length
    assert ("chunk_seconds" in told) != ("max_seconds" in told)
    with torch.device("meta"):
        methods = {each.name: each for each in model.methods(options, dynamic=True)}
        logits = methods["decoder"].module(*methods["decoder"].inputs)
    assert logits.shape == (1, model.metadata.vocab_size)


def test_the_ids_of_published_vocabularies() -> None:
    told = built("whisper_tiny").settings(TranscribeOptions())
    assert (told["start_ids"], told["eos_ids"]) == ([50258], [50257])
    assert (told["languages"]["en"], told["languages"]["su"]) == (50259, 50357)
    assert told["tasks"] == {"translate": 50358, "transcribe": 50359}
    ids = [told[k] for k in ("previous_id", "no_speech_id", "no_timestamps_id", "timestamp_begin")]
    assert ids == [50361, 50362, 50363, 50364]
    assert (told["chunk_seconds"], told["time_precision"]) == (30.0, 0.02)
    english = built("whisper_tiny_en").settings(TranscribeOptions())
    assert (english["start_ids"], english["languages"], english["tasks"]) == ([50257], {}, {})
    assert (english["no_timestamps_id"], english["timestamp_begin"]) == (50362, 50363)
    turbo = built("whisper_large_v3_turbo").settings(TranscribeOptions())
    assert (turbo["languages"]["yue"], turbo["tasks"]["transcribe"]) == (50358, 50360)
    assert turbo["timestamp_begin"] == 50365


@pytest.mark.parametrize("seconds", [-3.0, 0.0, float("nan"), 1e9])
def test_the_longest_audio_is_a_length(seconds: float) -> None:
    with pytest.raises(ValueError, match="is not from 0 to 3600"):
        TranscribeOptions(max_seconds=seconds)


@pytest.mark.parametrize(("seconds", "longest"), [(0.112, 1792), (0.136, 2176), (1.0, 16000)])
def test_moonshine_takes_windows_of_any_length(seconds: float, longest: int) -> None:
    options = TranscribeOptions(max_seconds=seconds)
    model = built("moonshine_tiny")
    encoder, _ = model.methods(options, dynamic=True)
    assert encoder.inputs[0].shape[1] <= longest
    assert model.settings(options)["max_seconds"] == longest / 16000
    assert (encoder.dynamic == (None,)) == (longest == 1792)
