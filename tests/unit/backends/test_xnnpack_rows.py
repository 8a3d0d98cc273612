"""Delegates that get as many rows as the data selects, or none."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import executorch.kernels.quantized  # noqa: F401  (out variants of quantized operators)
import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import nn

from llm_export.backends.xnnpack_passes import reused
from llm_export.backends.xnnpack_rows import selected_rows
from llm_export.compat.edge_config import edge_config
from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.config import FeedForwardConfig, MoEConfig, RouterConfig
from llm_export.quant.apply import set_weight
from llm_export.quant.grid import Grid, GridSpec

HIDDEN, LONGEST = 32, 16


def mixture() -> MixtureOfExperts:
    """Two experts with 8-bit weights and activations."""
    torch.manual_seed(0)
    config = MoEConfig(RouterConfig("softmax", 2, 1, True), FeedForwardConfig(48, "silu"))
    module = MixtureOfExperts(HIDDEN, config).requires_grad_(False)
    spec = GridSpec(8, None, False)
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.3)
    for linear in [m for m in module.modules() if isinstance(m, nn.Linear)]:
        scale = linear.weight.abs().amax(1, keepdim=True) / spec.high
        set_weight(linear, Grid.rounded(linear.weight, scale, None, spec), "8da8w")
    return module


def lowered(module: nn.Module, *, rows: bool) -> Any:
    tokens = torch.export.Dim("tokens", min=1, max=LONGEST)
    with any_number_of_rows():
        graph = torch.export.export(
            module, (torch.randn(1, 3, HIDDEN),), dynamic_shapes=({1: tokens},), strict=False
        )
        with reused(), selected_rows() if rows else nullcontext():
            return to_edge_transform_and_lower(
                graph, partitioner=[XnnpackPartitioner()],
                compile_config=edge_config(dim_order=False),
            )  # fmt: skip


def products_outside(edge: Any) -> int:
    nodes = edge.exported_program().graph.nodes
    return sum("aten.linear" in str(n.target) or "aten.mm" in str(n.target) for n in nodes)


@pytest.mark.slow
def test_experts_are_delegated_and_get_their_own_tokens(tmp_path: Path) -> None:
    module = mixture()
    every = {n: torch.randn(1, n, HIDDEN) for n in (1, 2, LONGEST)}
    expected = {n: module(x) for n, x in every.items()}
    module.active_only = True
    edge = lowered(module, rows=True)
    assert products_outside(edge) == 0
    path = tmp_path / "moe.pte"
    with path.open("wb") as file, any_number_of_rows():
        edge.to_executorch().write_to_file(file)
    method = Runtime.get().load_program(path).load_method("forward")
    # One token leaves experts without rows, before and after steps in which all have some.
    for count in (1, LONGEST, 2, 1):
        result = method.execute([every[count]])[0]
        torch.testing.assert_close(result, expected[count], rtol=1e-4, atol=1e-5)


@pytest.mark.release
def test_the_partitioner_alone_leaves_them_outside() -> None:
    """If this fails, the patch is no longer needed."""
    module = mixture()
    module.active_only = True
    assert products_outside(lowered(module, rows=False)) > 0
