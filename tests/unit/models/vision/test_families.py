"""Configs of vision-language models: what families refuse, and what the image's size changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
import vision_models

from llm_export import api
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, RecipeError
from llm_export.models.task import task_options
from llm_export.models.vision.detect import detect_vision
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.families.base import VisionFamily
from llm_export.models.vision.load_weights import load_vision_weights
from llm_export.models.vision.model import build_on_meta
from llm_export.models.vision.towers.siglip import nearest_positions

_USUAL: dict[str, Any] = {
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
}
# Of the text configs that transformers completes.
_TEXTS: dict[str, dict[str, Any]] = {
    "lfm2_vl": {"max_position_embeddings": 512, "norm_eps": 1e-5},
    "gemma3": {
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
    },
}  # fmt: skip


def member(family: VisionFamily, part: str = "", **changes: Any) -> dict[str, Any]:
    """config.json of a tiny member, with changes to one part."""
    own: dict[str, dict[str, Any]] = {n: dict(values) for n, values in family.tiny.items()}
    own["text_config"] = {**_TEXTS.get(family.name, _USUAL), **own["text_config"]}
    whole: dict[str, Any] = {**own.pop(""), **own}
    target = whole[part] if part else whole
    target.update(changes)
    return whole


def refusal(name: str, part: str = "", size: Any = None, **changes: Any) -> str:
    family = VISION_FAMILIES.get(name)
    with pytest.raises(CheckpointError) as caught:
        family.read(member(family, part, **changes), size)
    return str(caught.value)


def test_the_usual_size_of_an_image_is_that_of_the_config() -> None:
    config = VISION_FAMILIES.get("smolvlm").read(member(VISION_FAMILIES.get("smolvlm")))
    assert (config.image_size, config.tokens_per_image) == ((32, 32), 4)


def test_another_size_has_as_many_tokens_as_it_has_squares_of_patches() -> None:
    family = VISION_FAMILIES.get("lfm2_vl")
    config = family.read(member(family), (64, 32))
    assert (config.image_size, config.tokens_per_image) == ((64, 32), 8)
    assert family.read(member(family, tile_size=500)).image_size == (496, 496)


def test_unknown_keys_are_refused_in_every_part() -> None:
    assert "does not know the config key(s) colour" in refusal("smolvlm", colour=1)
    assert "does not know the config key(s) colour" in refusal("smolvlm", "vision_config", colour=1)
    assert "does not know the config key(s) colour" in refusal("lfm2_vl", "text_config", colour=1)


def test_values_that_are_not_implemented_are_refused() -> None:
    said = refusal("llava", vision_feature_select_strategy="full")
    assert "does not implement vision_feature_select_strategy='full'" in said
    said = refusal("llava", "vision_config", model_type="siglip_vision_model")
    assert "implemented: 'clip_vision_model'" in said
    assert "does not implement num_channels=1" in refusal("gemma3", "vision_config", num_channels=1)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("smolvlm", (32, 40), "40 pixels does not divide into whole tokens"),
        ("smolvlm", (32, 48), "needs square images"),
        ("lfm2_vl", (0, 32), "0 x 32 pixels does not divide into whole tokens"),
        ("gemma3", (64, 64), "have 32 x 32 pixels, and no other size"),
        ("llava", (64, 64), "have 32 x 32 pixels, and no other size"),
    ],
)
def test_sizes_of_images_that_the_model_cannot_have(name: str, size: Any, reason: str) -> None:
    assert reason in refusal(name, size=size)


def test_parts_that_do_not_fit_each_other() -> None:
    assert "do not pool to 5 tokens" in refusal("gemma3", mm_tokens_per_image=5)
    said = refusal("smolvlm", "vision_config", num_attention_heads=5)
    assert "hidden_size 48 is not a multiple of 5 heads" in said
    said = refusal("smolvlm", vision_config=None)
    assert "lacks 'vision_config'" in said
    assert "of its whole, not of its text model" in said
    assert "lacks 'text_config'" in refusal("smolvlm", text_config=[])
    assert "a value does not fit" in refusal("llava", vision_feature_layer=9)
    assert "a value does not fit" in refusal("llava", vision_feature_layer=[-2, -1])


def test_nearest_positions_of_a_grid() -> None:
    assert nearest_positions((2, 3), (2, 3)) == list(range(6))
    assert nearest_positions((1, 2), (4, 4)) == [0, 2]
    assert nearest_positions((4, 4), (2, 2)) == [0, 0, 1, 1] * 2 + [2, 2, 3, 3] * 2


def test_a_text_model_does_not_see(tmp_path: Path) -> None:
    source = CheckpointConfig(path=str(hf_models.save(hf_models.llama(), tmp_path / "m")))
    with pytest.raises(CheckpointError) as caught:
        detect_vision(source)
    assert "no family of the task see builds 'llama'" in str(caught.value)
    assert "smolvlm" in str(caught.value)
    family = VISION_FAMILIES.get("smolvlm")
    config = member(family)
    model = build_on_meta(family.read(config), 16, "plain", False)
    with pytest.raises(CheckpointError, match="not that of a vision-language model"):
        load_vision_weights(model, family, config, open_checkpoint(source, {}, whole=True))


def test_tensors_without_a_place_are_named(tmp_path: Path) -> None:
    reference = vision_models.build("llava")
    reference.model.vision_tower.register_buffer("shade", torch.ones(3))
    with pytest.raises(CheckpointError, match=r"have no place in the model: tower\.shade"):
        vision_models.ours(reference, tmp_path / "m")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[32]", "not a height and a width in pixels"),
        ("[0,32]", "not a height and a width in pixels"),
        ("[a,b]", "image_size"),
        ("big", "image_size"),
    ],
)
def test_options_that_are_no_size(value: str, said: str) -> None:
    words = ["model=tiny_see", f"model.task_options.image_size={value}"]
    with pytest.raises(RecipeError) as caught:
        task_options(api.compose_recipe(None, words).recipe)
    assert "the options of the task see are not valid" in str(caught.value)
    assert said in str(caught.value)
