"""Parts of joint products inside XNNPACK's delegates, whatever the length of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import Tensor, nn

from llm_export.backends.xnnpack_splits import as_slices
from llm_export.compat.edge_config import edge_config
from llm_export.compat.xnnpack_slices import slices_of_fixed_dimensions


class Parts(nn.Module):
    """[1, S, 6] -> [1, S, 2] from three kinds of parts, and the last positions."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = torch.split(x * 2, [1, 3, 2], dim=-1)
        d, e = x.chunk(2, dim=-1)
        f, _, g = torch.split(x, 2, dim=2)
        return (a + b[..., 1:] + c) * (d[..., 1:] - e[..., :2]) + f + g, x[:, -1:] + 1


def exported() -> torch.export.ExportedProgram:
    length = torch.export.Dim("length", min=1, max=16)
    return torch.export.export(
        Parts(), (torch.randn(1, 5, 6),), dynamic_shapes=({1: length},), strict=False
    )


def targets(graph: torch.fx.Graph) -> list[str]:
    return [str(n.target) for n in graph.nodes if n.op == "call_function"]


def test_splits_are_slices_with_the_same_values() -> None:
    program = as_slices(exported())
    assert not any("split" in t or "chunk" in t for t in targets(program.graph))
    x = torch.randn(1, 3, 6)
    for found, expected in zip(program.module()(x), Parts()(x), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_delegate_takes_slices_along_fixed_dimensions(tmp_path: Path) -> None:
    config: Any = edge_config(dim_order=False)
    program = as_slices(exported())
    with slices_of_fixed_dimensions():
        edge = to_edge_transform_and_lower(
            program, partitioner=[XnnpackPartitioner()], compile_config=config
        )
    outside = targets(edge.exported_program().graph)
    assert sum("slice" in t for t in outside) == 1, "only the one of the last positions"
    path = tmp_path / "parts.pte"
    path.write_bytes(edge.to_executorch().buffer)
    method = Runtime.get().load_program(path).load_method("forward")
    for count in (1, 16, 2):
        x = torch.randn(1, count, 6)
        for found, expected in zip(method.execute([x]), Parts()(x), strict=True):
            torch.testing.assert_close(found, expected)
