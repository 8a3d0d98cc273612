"""What vision-language models of transformers do with a batch of one image."""

from __future__ import annotations

import os
from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.modeling_outputs import BaseModelOutputWithPooling

from llm_export.compat.transformers_images import features_of, one_image, unchecked


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=9), st.booleans())
def test_positions_are_those_of_bucketize(values: list[float], right: bool) -> None:
    x, bounds = torch.tensor(values), torch.linspace(-1, 1, 5)
    expected = torch.bucketize(x, bounds, right=right)
    with one_image():
        assert torch.equal(torch.bucketize(x, bounds, right=right), expected)


def test_the_only_image_is_not_dropped_and_gets_all_features() -> None:
    images, features = torch.zeros(1, 3), torch.ones(4, 2)
    with one_image():
        assert torch.equal(images[torch.tensor([False])], images)
        (found,) = torch.split(features, torch.tensor([4]).tolist())
    assert found is features


def test_the_librarys_check_is_off_only_within() -> None:
    before = os.environ.get("TRANSFORMERS_DISABLE_TORCH_CHECK")
    with unchecked():
        assert os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] == "1"
    assert os.environ.get("TRANSFORMERS_DISABLE_TORCH_CHECK") == before


def test_features_and_what_comes_with_them() -> None:
    one = torch.ones(1, 2, 3)
    assert features_of(one) == ([one], [])
    made, beside = features_of(BaseModelOutputWithPooling(last_hidden_state=one, pooler_output=one))
    assert (made, beside) == ([one], [])
    assert features_of(SimpleNamespace())[0] == []
