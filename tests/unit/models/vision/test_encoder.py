"""Parts of vision towers."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from llm_export.models.vision.towers.encoder import Patches, attended_in_groups


@given(
    heads=st.integers(1, 18), count=st.integers(1, 5), size=st.integers(1, 4),
    most=st.integers(1, 500),
)  # fmt: skip
def test_groups_of_heads_change_nothing(heads: int, count: int, size: int, most: int) -> None:
    torch.manual_seed(heads)
    q, k, v = torch.randn(3, heads, count, size)
    expected = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    torch.testing.assert_close(attended_in_groups(q, k, v, most), expected)


def test_patches_are_those_of_a_convolution() -> None:
    torch.manual_seed(0)
    patches, pixels = Patches(3, 4, 10), torch.randn(2, 3, 8, 12)
    convolution = nn.Conv2d(3, 10, 4, stride=4)
    convolution.weight.data = patches.linear.weight.data.reshape(10, 3, 4, 4)
    convolution.bias = patches.linear.bias
    expected = convolution(pixels).flatten(2).transpose(1, 2)
    torch.testing.assert_close(patches(pixels), expected)
