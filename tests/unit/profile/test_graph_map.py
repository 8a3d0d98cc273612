"""The map of a program from the graphs that it was emitted from."""

from __future__ import annotations

from types import SimpleNamespace as Plain
from typing import Any

import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn

from llm_export.backends.xnnpack_passes import reused
from llm_export.compat.edge_config import edge_config
from llm_export.profile.chain import Chain
from llm_export.profile.graph_map import number_instructions, profile_map
from llm_export.profile.graph_weights import module_of_weight, shifted
from llm_export.profile.kinds import kind_of
from llm_export.profile.profile_map import ProfileMap


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.down(torch.sigmoid(self.up(x)))
        return torch.cumsum(inner, 1)  # of no delegate


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Block(), Block()])

    def forward(self, x: Tensor, several: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return torch.cond(several.sum() > 0, lambda y: torch.cumsum(y, 0), torch.cos, (x,))


@pytest.fixture(scope="module")
def emitted() -> Any:
    program = torch.export.export(Model(), (torch.ones(2, 8), torch.ones(1)), strict=False)
    with reused():  # without patterns that are not in it, which take seconds to build
        edge = to_edge_transform_and_lower(
            program, partitioner=[XnnpackPartitioner()], compile_config=edge_config(dim_order=False)
        )
    number_instructions(edge.exported_program().graph_module)
    return edge.to_executorch()


@pytest.fixture(scope="module")
def mapped(emitted: Any) -> ProfileMap:
    return profile_map(emitted, ["forward"])


def test_names_of_delegated_operators(mapped: ProfileMap) -> None:
    inside = [one for call in mapped.methods["forward"].values() for one in call.inside]
    linears = [(one.module, one.bytes) for one in inside if one.kind == "linear"]
    up, down = 4 * (8 * 16 + 16), 4 * 8 * 16
    assert linears == [
        ("layers.0.up", up), ("layers.0.down", down), ("layers.1.up", up), ("layers.1.down", down)
    ]  # fmt: skip
    assert mapped.weights == dict(linears)
    delegates = [c.own for c in mapped.methods["forward"].values() if c.inside]
    assert [one.module for one in delegates] == ["layers.0", "layers.1"]


def test_names_of_kernels_and_of_branches(mapped: ProfileMap) -> None:
    calls = [c.own for c in mapped.methods["forward"].values() if not c.inside]
    names = [(one.operator, one.module) for one in calls]
    assert names.count(("aten::cumsum", "layers.0")) == 1
    assert names.count(("aten::cumsum", "layers.1")) == 1
    assert names.count(("aten::cumsum", "")) == 1  # in one branch
    assert ("aten::cos", "") in names  # in the other


def test_paths_begin_in_the_model_that_a_method_holds(emitted: Any, mapped: ProfileMap) -> None:
    inner = profile_map(emitted, ["forward"], within={"forward": "layers"})
    assert inner.weights == {
        name.removeprefix("layers."): size for name, size in mapped.weights.items()
    }
    modules = {c.own.module for c in inner.methods["forward"].values() if c.inside}
    assert modules == {"0", "1"}


def test_branches_of_a_chain() -> None:
    """A jump over four instructions, one over two that is always taken; then the same again."""
    plan = Plain(
        operators=[Plain(name="aten::add")],
        chains=[Plain(instructions=[
            Plain(instr_args=what) for what in (
                Plain(op_index=0), Plain(destination_instruction=4), Plain(op_index=0),
                Plain(destination_instruction=6), Plain(delegate_index=0), Plain(op_index=0),
                Plain(destination_instruction=9), Plain(op_index=0),
                Plain(destination_instruction=10), Plain(op_index=0), Plain(free=1),
            )
        ])],
    )  # fmt: skip
    chain = Chain.of(plan)
    assert chain.operators[4] == "delegate"
    assert 10 not in chain.operators
    assert chain.branches(1) == ((2, 4), 6)
    assert chain.branches(6) == ((7, 9), 10)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("layers.0.attention.out.parametrizations.weight.original0", "layers.0.attention.out"),
        ("layers.0.norm.weight", "layers.0.norm"),
        ("weight", ""),
        ("parametrizations.weight.original1", ""),
    ],
)
def test_the_module_of_a_weight(name: str, module: str) -> None:
    assert module_of_weight(name) == module


def test_names_in_other_layers() -> None:
    assert shifted("layers.2.attention", "layers", 3) == "layers.5.attention"
    assert shifted("layers.2", "layers", 3) == "layers.5"
    assert shifted("layers.2", "", 3) == "layers.2"
    assert shifted("model.layers.2.x", "model.layers", -1) == "model.layers.1.x"
    assert shifted("layers_of.2.x", "layers", 1) == "layers_of.2.x"


@pytest.mark.parametrize(
    ("operator", "classes", "weighted", "kind"),
    [
        ("aten::linear", ("Decoder", "Linear"), True, "linear"),
        ("aten::linear", ("Decoder", "RMSNorm"), False, "norm"),
        ("aten::linear", ("Attention",), False, "product"),
        ("aten::bmm", ("Attention",), False, "attention"),
        ("llama::sdpa_with_kv_cache", ("Attention",), False, "attention"),
        ("llama::update_cache", ("Attention",), False, "cache"),
        ("aten::permute_copy", ("Attention",), False, "copy"),
        ("executorch_prim::et_view", (), False, "copy"),
        ("quantized_decomposed::embedding_byte", (), False, "embedding"),
        ("aten::exp", ("Mamba2Mixer",), False, "mixer"),
        ("aten::mul", ("PreNormBlock",), False, "elementwise"),
    ],
)
def test_kinds(operator: str, classes: tuple[str, ...], weighted: bool, kind: str) -> None:
    assert kind_of(operator, classes, weighted=weighted) == kind
