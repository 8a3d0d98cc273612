"""``scan`` in eager code and in a graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from llm_export.compat.scan import scan


class Decay(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def step(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
            state = 0.5 * state + now[0]
            return state, state * 2

        last, outputs = scan(step, torch.zeros(3), (x,))
        return torch.cat([outputs, last[None]])


@pytest.mark.parametrize(("length", "operators"), [(4, 1), (1, 0)])
def test_a_graph_computes_what_the_loop_does(length: int, operators: int) -> None:
    x = torch.arange(3.0 * length).reshape(length, 3)
    program = torch.export.export(Decay(), (x,), strict=False)
    found = [n for n in program.graph.nodes if n.target is torch.ops.higher_order.scan]
    assert len(found) == operators
    torch.testing.assert_close(program.module()(x), Decay()(x))
    assert Decay()(torch.ones(2, 3))[:, 0].tolist() == [2.0, 3.0, 1.5]
