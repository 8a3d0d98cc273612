"""Numbers of the layers that nodes belong to, by which partitions are cut."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.backends.xnnpack_partitioner import layers_of


class Chain(nn.Module):
    def __init__(self, narrow_after: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norm = nn.LayerNorm(4)
        self.narrow_after = narrow_after

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        for number, layer in enumerate(self.layers):
            x = layer(x).relu()
            if number == self.narrow_after:
                x = x[:, -1:]
        return self.norm(x) * 3


def test_what_follows_the_layers_is_no_part_of_the_last_one() -> None:
    """Also where the last layer is not the one after which positions are left out."""
    for narrow_after in (1, 2):
        program = torch.export.export(Chain(narrow_after), (torch.ones(1, 3, 4),))
        numbers = layers_of(program)
        called = [n for n in program.graph.nodes if n.op == "call_function"]
        by_target = [(str(n.target).split(".")[1], numbers[n]) for n in called]
        linears = [number for target, number in by_target if target == "linear"]
        assert linears == [0, 1, 2]
        assert [number for target, number in by_target if target == "layer_norm"] == [3]
        assert [number for target, number in by_target if target == "mul"] == [-1, 3]
        slices = {number for target, number in by_target if target == "slice"}
        assert slices == {1 if narrow_after == 1 else 3}
