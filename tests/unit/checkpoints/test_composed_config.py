"""From the config of a composed model to that of its text model, and to its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_export.checkpoints.composed_config import placeholders, text_config_of
from llm_export.checkpoints.text_model import TextModel, text_model_of
from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets

SIZES = {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2}
MROPE = {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [2, 3, 3]}


@pytest.mark.parametrize(
    ("raw", "model_type", "where"),
    [
        ({"model_type": "llava", "text_config": {"model_type": "qwen2", **SIZES}}, "qwen2",
         "text_config"),
        ({"model_type": "lfm2_vl", "text_config": {**SIZES}}, "lfm2", "text_config"),
        ({"model_type": "qwen3_5", "text_config": {"model_type": "qwen3_5_text", **SIZES}},
         "qwen3_5_text", "text_config"),
        ({"model_type": "gemma4", "text_config": {"model_type": "gemma4_text"}}, "gemma4_text",
         "text_config"),
        ({"model_type": "qwen2_vl", "vision_config": {"depth": 1}, **SIZES}, "qwen2",
         "vision_config"),
        ({"model_type": "qwen2_5_omni", "thinker_config": {
            "model_type": "qwen2_5_omni_thinker",
            "text_config": {"model_type": "qwen2_5_omni_text", **SIZES}}}, "qwen2",
         "thinker_config"),
        ({"model_type": "internvl_chat", "llm_config": {"model_type": "qwen3", **SIZES}}, "qwen3",
         "llm_config"),
        ({"model_type": "deepseek_vl_v2", "language_config": {"model_type": "llama", **SIZES}},
         "llama", "language_config"),
    ],
)  # fmt: skip
def test_the_text_config(raw: dict[str, Any], model_type: str, where: str) -> None:
    found = text_config_of(raw)
    assert found is not None
    assert (found.config["model_type"], found.where) == (model_type, where)
    stated = raw.get(where, {}).get("text_config") or raw.get(where) or raw
    assert found.config["hidden_size"] == stated.get("hidden_size", found.config["hidden_size"])
    assert all(isinstance(key, str) for key in found.config["id2label"])


@pytest.mark.parametrize(
    "raw",
    [
        {}, {"model_type": "llama", **SIZES}, {"model_type": "llama", "text_config": 3},
        {"model_type": "llama", "text_config": {"model_type": "llama"}},
        {"model_type": "paligemma", "text_config": {"model_type": "gemma"}},
        {"model_type": "llava", "text_config": {"model_type": ["llama"]}},
        {"model_type": 7, "text_config": {"model_type": "llama"}},
        {"model_type": "unknown", "text_config": {"hidden_size": 64}},
        {"model_type": "unknown", "vision_config": {}, **SIZES},
        {"model_type": "clip", "text_config": {"model_type": "clip_text_model"}},
    ],
)  # fmt: skip
def test_others_have_none(raw: dict[str, Any]) -> None:
    assert text_config_of(raw) is None


def test_values_of_the_whole_config_reach_the_text() -> None:
    text = {"model_type": "qwen2_5_vl_text", "rope_parameters": MROPE, **SIZES}
    raw = {"model_type": "qwen2_5_vl", "text_config": text, "eos_token_id": 7}
    found = text_config_of({**raw, "tie_word_embeddings": True})
    assert found is not None
    assert found.tied
    assert found.config["eos_token_id"] == 7
    assert found.config["rope_parameters"] == {"rope_type": "default", "rope_theta": 5e4}


def test_a_config_that_is_not_valid_says_where() -> None:
    broken = {"model_type": "llama", "hidden_size": 63, "num_attention_heads": 4}
    for raw in (
        {"model_type": "llava", "text_config": broken},
        {"model_type": "unknown", "llm_config": broken},
    ):
        with pytest.raises(CheckpointError, match="not a valid") as caught:
            text_config_of(raw)
        assert "config.json, " in str(caught.value.where)


def test_tokens_for_other_inputs() -> None:
    raw = {"image_token_id": 5, "video_token_index": 6, "eos_token_id": 2, "image_size": 28,
           "boi_token_index": 8, "audio_token_id": None, "text_config": {"image_token_id": 9},
           "vision_start_token_id": True}  # fmt: skip
    assert placeholders(raw) == {"image_token_id": 5, "video_token_index": 6, "boi_token_index": 8}


class Stored:
    """A checkpoint of these tensors."""

    naming, format = "hf", "safetensors"
    files: tuple[Path, ...] = (Path("m.safetensors"),)

    def __init__(self, raw: dict[str, Any], *names: str) -> None:
        self._raw, self._names = raw, names

    def config(self) -> dict[str, Any]:
        return self._raw

    def names(self) -> list[str]:
        return list(self._names)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name in self._names:
            yield name, torch.zeros(2, 3, dtype=torch.bfloat16)

    def tokenizer(self) -> TokenizerAssets:
        raise AssertionError


LLAVA = {"model_type": "llava", "text_config": {"model_type": "llama", **SIZES}}


@pytest.mark.parametrize(
    ("prefix", "head"),
    [
        ("language_model.model.", "language_model.lm_head.weight"),
        ("model.language_model.", "lm_head.weight"),
        ("model.text_model.", "lm_head.weight"),
        ("model.", "lm_head.weight"),
        ("thinker.model.", "thinker.lm_head.weight"),
        ("language_model.", None),
    ],
)
def test_names(prefix: str, head: str | None) -> None:
    others = ["vision_tower.a.weight", "talker.model.embed_tokens.weight", "mtp.norm.weight"]
    names = [f"{prefix}embed_tokens.weight", f"{prefix}layers.0.q.weight", *others]
    made = text_model_of(Stored(LLAVA, *names, *([head] if head else [])))
    assert isinstance(made, TextModel)
    expected = ["model.embed_tokens.weight", "model.layers.0.q.weight"]
    assert made.names() == expected + (["lm_head.weight"] if head else [])
    assert [name for name, _ in made.tensors()] == made.names()
    assert made.remarks() == (
        "the text model alone is used: left out are 3 tensors, 0.0 kB: vision_tower (1 tensors, "
        "0.0 kB), talker (1 tensors, 0.0 kB), mtp (1 tensors, 0.0 kB)",
    )


def test_no_text_model_among_the_tensors() -> None:
    with pytest.raises(CheckpointError, match="0 of them have the name of a token embedding"):
        text_model_of(Stored(LLAVA, "vision.weight"))
    plain = Stored({"model_type": "llama"}, "model.embed_tokens.weight")
    assert text_model_of(plain) is plain
