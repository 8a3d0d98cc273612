"""Vision-language models of our components against transformers', method by method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from parity_tools import relative_error, sample_ids
from torch import Tensor

from llm_export.models.vision.model import VisionLanguageModel

_BAR = 1e-4
_MEMBERS = ("smolvlm",)


def _image_features(reference: Any, pixels: Tensor) -> Tensor:
    """[1, n, H] of one image."""
    found: Tensor = reference.model.get_image_features(pixels[None]).pooler_output[0]
    return found[None]


FEATURES = {"smolvlm": _image_features, "idefics3": _image_features}


def _prompt(model: VisionLanguageModel) -> list[int]:
    """Token ids of a text with one image in the middle."""
    ids = [i for i in sample_ids(12) if i != vision_models.IMAGE_TOKEN]
    return ids[:5] + [model.config.image_token_id] * model.config.tokens_per_image + ids[5:]


@torch.no_grad()
def _embedded(model: VisionLanguageModel, ids: list[int], pixels: Tensor) -> Tensor:
    tokens = torch.tensor([ids])
    embeddings = model.embed_tokens(tokens)
    embeddings[tokens == model.config.image_token_id] = model.encode_image(pixels)[0]
    return embeddings


@pytest.mark.parametrize("name", _MEMBERS)
@torch.no_grad()
def test_methods_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    reference: Any = vision_models.build(name)
    model = vision_models.ours(reference, tmp_path / "m")
    pixels = vision_models.picture(model)
    expected = FEATURES[name](reference, pixels)
    assert relative_error(model.encode_image(pixels), expected) < _BAR
    ids = _prompt(model)
    table = reference.get_input_embeddings()(torch.tensor([ids]))
    assert relative_error(model.embed_tokens(torch.tensor([ids])), table) < _BAR
    whole = reference(input_ids=torch.tensor([ids]), pixel_values=pixels[None]).logits[0]
    logits = vision_models.stepwise(model, _embedded(model, ids, pixels), prefill=len(ids) - 4)
    assert relative_error(logits, whole) < _BAR
