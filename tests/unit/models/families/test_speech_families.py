"""Configs and generation configs of speech models: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_export.errors import CheckpointError
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.speech.whisper_options import generation_options

# As openai/whisper-tiny has it, shortened.
GENERATION: dict[str, Any] = {
    "decoder_start_token_id": 50258,
    "eos_token_id": 50257,
    "lang_to_id": {"<|de|>": 50261, "<|en|>": 50259},
    "task_to_id": {"transcribe": 50359, "translate": 50358},
    "no_timestamps_token_id": 50363,
    "prev_sot_token_id": 50361,
    "suppress_tokens": [1, 2, 7],
    "begin_suppress_tokens": [220, 50257],
    "max_initial_timestamp_index": 50,
    "alignment_heads": [[2, 2], [3, 0]],
    "is_multilingual": True,
}


def options_of(folder: Path) -> Any:
    checkpoint: Any = SimpleNamespace(files=(folder / "model.safetensors",))
    return TASK_FAMILIES.get("whisper").options(checkpoint)


def test_a_generation_config_names_the_special_tokens(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(GENERATION))
    assert options_of(tmp_path) == {
        "start_ids": [50258],
        "eos_ids": [50257],
        "languages": {"en": 50259, "de": 50261},
        "tasks": {"translate": 50358, "transcribe": 50359},
        "no_timestamps_id": 50363,
        "timestamp_begin": 50364,
        "no_speech_id": 50362,
        "previous_id": 50361,
        "suppress_ids": [1, 2, 7],
        "begin_suppress_ids": [220, 50257],
        "max_initial_timestamp": 50,
        "alignment_heads": [[2, 2], [3, 0]],
    }


def test_ids_that_are_no_numbers() -> None:
    with pytest.raises(CheckpointError, match=r"special tokens .* are not whole numbers"):
        generation_options({"lang_to_id": {"<|en|>": None}}, "here")


def test_another_front_end(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"n_fft": 512, "hop_length": 160}')
    with pytest.raises(CheckpointError, match=r"has n_fft=512; the program computes n_fft=400"):
        options_of(tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{"])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"not (valid JSON|a JSON object)"):
        options_of(tmp_path)


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("whisper", {"use_weighted_layer_sum": True}, "does not implement use_weighted_layer_sum"),
        ("whisper", {"d_model": 33}, "33 channels do not divide into 2 heads"),
        ("whisper", {"d_mel": 1}, r"does not know the config key\(s\) d_mel"),
        ("moonshine", {"attention_bias": True}, "does not implement attention_bias=True"),
        ("moonshine", {"encoder_num_attention_heads": 4}, "4 heads in the encoder and 2 in the"),
        (
            "moonshine",
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
            "does not implement the RoPE scaling 'linear'",
        ),
    ],
)
def test_what_a_family_refuses(family: str, change: dict[str, Any], said: str) -> None:
    found = TASK_FAMILIES.get(family)
    with pytest.raises((CheckpointError, ValueError), match=said):
        found.from_hf({**found.tiny, **change})
