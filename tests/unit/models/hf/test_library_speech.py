"""The generic tier of speech to text: models of transformers as they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hf_models import save
from speech_models import hf_moonshine, hf_streaming, hf_whisper, noise, own_moonshine, own_whisper
from torch import Tensor

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import Recipe
from llm_export.errors import CheckpointError
from llm_export.models.hf.auto_class import SPEECH
from llm_export.models.hf.config import transformers_config
from llm_export.models.load_model import load_model
from llm_export.models.speech.front_ends import front_end
from llm_export.models.task import task_options

SAMPLES = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": False,
           "return_attention_mask": True, "sampling_rate": 16000}  # fmt: skip
MEL = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 20, "chunk_length": 1}
MODELS = {
    "whisper": (hf_whisper, MEL, own_whisper),
    "moonshine": (hf_moonshine, SAMPLES, own_moonshine),
    "streaming": (hf_streaming, SAMPLES, None),
}

SIZES: dict[str, dict[str, int]] = {
    "whisper": {"max_target_positions": 40, "encoder_layers": 1, "decoder_layers": 1},
    "moonshine": {"encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1},
    "streaming": {},
}


@pytest.fixture(scope="module")
def small_whisper() -> Any:
    return hf_whisper(encoder_layers=1, decoder_layers=1)


def test_a_default_padding_token_outside_the_vocabulary_is_none() -> None:
    config = {"model_type": "whisper", "vocab_size": 320}
    assert transformers_config(config, auto=SPEECH).pad_token_id is None
    assert transformers_config({**config, "pad_token_id": 7}, auto=SPEECH).pad_token_id == 7


def folder_of(hf: Any, front: Mapping[str, Any] | None, folder: Path, **said: Any) -> Path:
    save(hf, folder)
    if front is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(front))
    if said:
        (folder / "generation_config.json").write_text(json.dumps(said))
    return folder


def composed(folder: Path, *words: str) -> Recipe:
    said = ["model=auto", "model.task=transcribe", "model.definition=hf"]
    return api.compose_recipe(None, [*said, f"checkpoint.path={folder}", *words]).recipe


def loaded(recipe: Recipe, context: int = 40) -> Any:
    model: Any = load_model(
        recipe, attention="plain", context_length=context, all_logits=False
    ).model
    return model


def greedy(encoder: Any, decoder: Any, audio: Tensor, start: int, count: int) -> list[int]:
    encoder(audio)
    ids = [start]
    for at in range(count):
        ids.append(int(decoder(torch.tensor([ids[-1:]]), torch.tensor([at])).argmax()))
    return ids


@pytest.mark.parametrize("name", MODELS)
def test_methods_equal_transformers(name: str, tmp_path: Path) -> None:
    make, front, own = MODELS[name]
    hf = make(**SIZES[name])
    less = ["model.task_options.max_seconds=2.0"] if name == "streaming" else []
    recipe = composed(folder_of(hf, front, tmp_path / name), *less)
    assert recipe.model.definition == "hf"
    assert [p for p in find_problems(recipe) if not p.environment] == []
    model = loaded(recipe)
    methods = {m.name: m for m in model.methods(task_options(recipe), dynamic=True)}
    assert list(methods) == [*(["features"] if name == "whisper" else []), "encoder", "decoder"]
    assert {m.repeated_layers for m in methods.values()} == {""}  # our own decoder is not in it
    encoder, decoder = methods["encoder"].module, methods["decoder"].module
    step = model.lengths.step
    audio = noise(16000 // step * step)
    ids = torch.randint(3, 300, (1, 9))
    with torch.no_grad():
        if name == "whisper":
            audio = methods["features"].module(audio)
        else:
            encoder(noise(40 * step, seed=1))  # a longer sound before
        asked = {"attention_mask": torch.ones(1, audio.shape[1], dtype=torch.int64)}
        asked = asked if model.front.masked else {}
        wanted = hf(audio, decoder_input_ids=ids, **asked).logits
        # The decoder of Moonshine Streaming writes into what the whole model returns.
        hidden = hf.get_encoder()(audio, **asked)[0]
        torch.testing.assert_close(encoder(audio), hidden, rtol=1e-4, atol=1e-5)
        first = decoder(ids[:, :4], torch.tensor([0]))
        torch.testing.assert_close(first, wanted[:, 3], rtol=1e-4, atol=1e-5)
        for at in range(4, 9):
            row = decoder(ids[:, at : at + 1], torch.tensor([at]))
            torch.testing.assert_close(row, wanted[:, at], rtol=1e-4, atol=1e-5)
        start = int(hf.config.decoder_start_token_id)
        found = greedy(encoder, decoder, audio, start, 32)
        given = torch.tensor([found[:-1]])
        theirs = hf(audio, decoder_input_ids=given, **asked).logits.argmax(-1)
        assert found[1:] == theirs[0].tolist()
        if own is not None:
            fast = own(hf, 40)
            fast.encode(audio)
            fast.all_logits = True
            assert fast.decode(given, torch.tensor([0])).argmax(-1)[0].tolist() == found[1:]


def test_runtimes_are_told_what_the_fast_tier_tells_them(
    tmp_path: Path, small_whisper: Any
) -> None:
    said = {
        "decoder_start_token_id": 300, "eos_token_id": 299, "no_timestamps_token_id": 310,
        "lang_to_id": {"<|en|>": 301, "<|de|>": 302}, "task_to_id": {"transcribe": 303},
        "suppress_tokens": [7, 9], "begin_suppress_tokens": [8], "max_initial_timestamp_index": 20,
    }  # fmt: skip
    folder = folder_of(small_whisper, MEL, tmp_path / "w", **said)
    told = []
    for definition in ("hf", "composable"):
        recipe = composed(folder, f"model.definition={definition}")
        model, options = loaded(recipe, 24), task_options(recipe)
        told.append(model.settings(options))
        assert [m.inputs[0].shape for m in model.methods(options, dynamic=False)] == [
            (1, 16000), (1, 20, 100), (1, 1)
        ]  # fmt: skip
    assert told[0] == told[1]
    assert told[0]["suppress_ids"] == [7, 9]
    assert told[0]["timestamp_begin"] == 311


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ({"feature_extractor_type": "ParakeetFeatureExtractor"}, "compute: spectrograms of NeMo"),
        ({**SAMPLES, "sampling_rate": 8000}, "sampling_rate=8000; the program computes"),
        ({**SAMPLES, "do_normalize": True}, "do_normalize=True"),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "do_normalize=True"),
        ({**MEL, "dither": 1e-5}, "dither=1e-05"),
        ({**MEL, "chunk_length": 30}, "chunk_length=30; the program computes chunk_length=1"),
        ({**MEL, "n_fft": 401}, "n_fft is 401, and must be even"),
        ({**MEL, "hop_length": "x"}, "hop_length is 'x', and must be a whole number"),
    ],
)
def test_other_front_ends_are_refused(
    front: dict[str, Any], words: str, small_whisper: Any
) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        front_end(small_whisper, {"preprocessor": front})
    assert str(caught.value.where).startswith("preprocessor_config.json")


def test_a_spectrogram_is_for_encoders_of_a_fixed_length() -> None:
    moonshine = SimpleNamespace(config=SimpleNamespace(model_type="moonshine"))
    with pytest.raises(CheckpointError, match="its config has no num_mel_bins"):
        front_end(moonshine, {"preprocessor": MEL})


def test_validate_refuses_them_and_audio_that_is_too_long(tmp_path: Path) -> None:
    folder = folder_of(hf_streaming(), SAMPLES, tmp_path / "s")
    (problem,) = [p for p in find_problems(composed(folder)) if not p.environment]
    assert problem.what == "30 s of audio have 1500 positions, and the model has 200"
    assert problem.fix == "at most 4"
    (folder / "preprocessor_config.json").write_text('{"feature_extractor_type": "MyExtractor"}')
    problem = next(p for p in find_problems(composed(folder)) if not p.environment)
    assert problem.what == (
        "'moonshine_streaming' turns audio into features by MyExtractor, which the generic tier "
        "does not compute"
    )
    assert "WhisperFeatureExtractor" in problem.fix


def test_decoders_with_audio_among_their_tokens_are_refused() -> None:
    with pytest.raises(
        CheckpointError, match="embeddings of audio among those of its tokens"
    ) as caught:
        transformers_config({"model_type": "voxtral"}, auto=SPEECH)
    assert str(caught.value.fix).startswith("a checkpoint of another model type")
    with pytest.raises(CheckpointError, match="is no encoder–decoder of speech") as caught:
        transformers_config({"model_type": "wav2vec2"}, auto=SPEECH)
    assert "model.task" not in str(caught.value.fix)
    with pytest.raises(CheckpointError) as caught:
        transformers_config({"model_type": "moonshine"})
    assert caught.value.fix == "model.task=transcribe"
