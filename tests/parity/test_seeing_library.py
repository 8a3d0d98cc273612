"""Vision-language models of transformers, in parts, against the library's whole."""

from __future__ import annotations

from typing import Any

import library_vision
import pytest
import torch
from parity_tools import relative_error

from llm_export.errors import CheckpointError
from llm_export.models.hf.auto_class import IMAGE_TEXT
from llm_export.models.hf.config import build_model
from llm_export.models.vision.library.follow import followed
from llm_export.models.vision.library.parts import split
from llm_export.transforms.attention import require_custom_ops

_BAR = 1e-4


@pytest.mark.parametrize(
    "name",
    [
        "aya_vision",
        "idefics2",
        *(pytest.param(name, marks=pytest.mark.release)
          for name in ("mistral3", "llava", "smolvlm", "vipllava", "deepseek_vl",
                       "cohere2_vision")),
    ],
)  # fmt: skip
def test_parts_compute_what_the_whole_does(name: str) -> None:
    found = library_vision.member(name)
    expected = found.expected()
    assert relative_error(found.stepped(), expected) < _BAR
    require_custom_ops()
    if name in ("aya_vision", "cohere2_vision"):  # half of their layers have a window
        assert relative_error(found.stepped("ring"), expected) < _BAR
    else:
        assert relative_error(found.stepped("custom_op"), expected) < _BAR
    names = [each for each, _ in found.model.named_parameters()]
    assert all(each.startswith(("language.", "tower.")) for each in names)
    assert len(names) == len(set(names))
    of_text = {id(p) for p in found.model.language.parameters()}
    assert not of_text & {id(p) for p in found.model.tower.parameters()}


REFUSED = {
    "paligemma": "takes token_type_ids",
    "ovis2": "with an image's embeddings it returns visual_indicator_features",
    "glm4v": "with each image it takes image_grid_thw",
    "blip": "has no get_image_features",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_more_to_a_model_than_embeddings_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        library_vision.outline(library_vision.config_of(name))
    assert REFUSED[name] in str(caught.value)
    assert "model.task=generate" in str(caught.value.fix)


def test_a_refusal_says_why_a_call_failed() -> None:
    with torch.device("meta"):
        hf = build_model(library_vision.config_of("llava"), IMAGE_TEXT)

    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no such operator\nand more")

    parts = split(hf)
    hf.model.get_placeholder_mask = fails
    with pytest.raises(CheckpointError, match=r"followed \(RuntimeError: no such operator\)"):
        followed(hf, parts)
