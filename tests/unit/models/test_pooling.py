"""Poolings of an encoder: their values, and that a program of any length has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, export

from llm_export.models.encoders.pooling import FUNCTIONS


class All(nn.Module):
    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return torch.stack([function(hidden, mask) for function in FUNCTIONS.values()])


def test_the_first_and_last_token_are_of_the_text_and_not_of_the_padding() -> None:
    hidden = torch.arange(10.0).reshape(1, 5, 2)
    for mask, first, last in (
        ([1, 1, 1, 0, 0], 0, 2),
        ([0, 0, 1, 1, 1], 2, 4),
        ([0, 1, 0, 0, 0], 1, 1),
    ):
        given = torch.tensor([mask], dtype=torch.float32)
        assert torch.equal(FUNCTIONS["cls"](hidden, given), hidden[:, first])
        assert torch.equal(FUNCTIONS["last"](hidden, given), hidden[:, last])


def test_one_program_pools_every_length() -> None:
    """A slice that is one shorter than the text adds a guard against a length of 2."""
    length = Dim("length", min=1, max=64)
    hidden, mask = torch.randn(1, 16, 4), torch.ones(1, 16)
    program = export(All(), (hidden, mask), dynamic_shapes=({1: length}, {1: length}),
                     strict=False).module()  # fmt: skip
    for size in (1, 2, 3):
        given = torch.randn(1, size, 4), torch.ones(1, size)
        torch.testing.assert_close(program(*given), All()(*given))
