"""Parts of vision towers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from llm_export.models.vision.towers.encoder import Patches, attended_by_head


def test_attention_is_that_of_the_fused_operator() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 5, 6)
    expected = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    torch.testing.assert_close(attended_by_head(q, k, v), expected)


def test_patches_are_those_of_a_convolution() -> None:
    torch.manual_seed(0)
    patches, pixels = Patches(3, 4, 10), torch.randn(2, 3, 8, 12)
    convolution = nn.Conv2d(3, 10, 4, stride=4)
    convolution.weight.data = patches.linear.weight.data.reshape(10, 3, 4, 4)
    convolution.bias = patches.linear.bias
    expected = convolution(pixels).flatten(2).transpose(1, 2)
    torch.testing.assert_close(patches(pixels), expected)
