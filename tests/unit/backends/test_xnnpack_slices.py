"""Slices and splits of a step of dynamic length, in XNNPACK's delegates."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import Tensor, nn

from llm_export import api
from llm_export.backends.xnnpack_lowering import faster
from llm_export.backends.xnnpack_partitioner import LayerwisePartitioner
from llm_export.compat.edge_config import edge_config
from llm_export.resolve.recipe import resolve

LONGEST = 16


class Cut(nn.Module):
    """Swaps halves as RoPE does, splits as a gated feed-forward, and cuts tokens off, which no
    delegate can: their number is dynamic.
    """

    def forward(self, x: Tensor) -> Tensor:
        swapped = torch.cat((x[..., 4:], x[..., :4]), dim=-1)
        a, b, c = torch.split(x * 2 + swapped, [2, 5, 1], dim=-1)
        return torch.cat((b * b, a + c), dim=-1)[:, -1:] * 3


def lowered(*, patched: bool) -> Any:
    tokens = torch.export.Dim("tokens", min=2, max=LONGEST)
    graph = torch.export.export(Cut(), (torch.randn(1, 3, 8),), dynamic_shapes=({1: tokens},))
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack"]).recipe
    with faster(resolve(recipe)) if patched else nullcontext():
        return to_edge_transform_and_lower(
            graph, partitioner=[LayerwisePartitioner()],
            compile_config=edge_config(dim_order=False),
        )  # fmt: skip


def cuts_outside(edge: Any) -> int:
    names = [str(n.target) for n in edge.exported_program().graph.nodes]
    return sum("slice_copy" in name or "split" in name for name in names)


@pytest.mark.slow
def test_slices_of_a_step_are_delegated(tmp_path: Path) -> None:
    edge = lowered(patched=True)
    assert cuts_outside(edge) == 1
    path = tmp_path / "cut.pte"
    with path.open("wb") as file:
        edge.to_executorch().write_to_file(file)
    method = Runtime.get().load_program(path).load_method("forward")
    for count in (3, LONGEST, 2):
        x = torch.randn(1, count, 8)
        assert torch.equal(method.execute([x])[0], Cut()(x))


@pytest.mark.slow
def test_the_partitioner_alone_leaves_them_outside() -> None:
    """If this fails, the patch is no longer needed."""
    assert cuts_outside(lowered(patched=False)) > 1
