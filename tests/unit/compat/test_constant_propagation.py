"""Which nodes ExecuTorch's constant propagation replaces."""

from __future__ import annotations

import torch
from executorch.exir import to_edge
from torch import Tensor, nn

from llm_export.compat.constant_propagation import constant_nodes
from llm_export.compat.edge_config import edge_config
from llm_export.compat.edge_manager import edge_programs


class Model(nn.Module):
    """A row of a weight, and the exponent of another."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(2, 4))
        self.rate = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.taps[1] + self.rate.exp()


def test_those_that_depend_on_weights_alone() -> None:
    model = Model()
    exported = torch.export.export(model, (torch.ones(3, 4),), strict=False)
    edge = to_edge(exported, compile_config=edge_config(dim_order=False))
    (program,) = edge_programs(edge).values()
    found = [v for node, v in constant_nodes(program).items() if node.op == "call_function"]
    assert len(found) == 2
    assert torch.equal(found[0], model.taps[1])
    assert torch.equal(found[1], model.rate.exp())
