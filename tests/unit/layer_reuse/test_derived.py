"""Constants that follow from one layer's weights, for the layers that are not lowered."""

from __future__ import annotations

import torch
from executorch.exir import ExecutorchBackendConfig, to_edge
from torch import Tensor, nn

from llm_export.compat.edge_config import edge_config
from llm_export.compat.edge_manager import edge_programs
from llm_export.compat.to_executorch import functional_program
from llm_export.layer_reuse.derived import name_derived, note_expressions
from llm_export.layer_reuse.plan import LayerPlan
from llm_export.layer_reuse.weights import ModelWeights


class Taps(nn.Module):
    """A row of a weight, and the exponent of another."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(2, 4))
        self.rate = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.taps[1] + self.rate.exp()


class Model(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Taps() for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_they_are_computed_from_the_weights_of_each_layer() -> None:
    torch.manual_seed(0)
    whole = Model(4)
    part = Model(2)
    part.layers = whole.layers[1:3]
    weights = ModelWeights(whole, LayerPlan("layers", (1, 2), (0, 0, 1, 1)))
    exported = torch.export.export(part, (torch.ones(3, 4),), strict=False)
    (program,) = edge_programs(
        to_edge(exported, compile_config=edge_config(dim_order=False))
    ).values()
    config = ExecutorchBackendConfig(do_quant_fusion_and_const_prop=True)
    note_expressions(program, weights)
    program = functional_program(program, config)
    name_derived(program, weights)
    found = {name: value for name, value in program.constants.items() if name.startswith("layers.")}
    assert len(found) == 4, "a row and an exponent of each layer"
    for name, value in found.items():
        layer = weights.layer(name)
        assert layer is not None
        assert torch.equal(weights[weights.moved(name, layer + 1)], value)
        last = whole.layers[3]
        assert isinstance(last, Taps)
        theirs = weights[weights.moved(name, 3)]
        assert any(torch.equal(theirs, tensor) for tensor in (last.taps[1], last.rate.exp()))
    specs = {spec.target for spec in program.graph_signature.input_specs}
    assert set(found) <= specs


def test_a_view_gets_a_storage_of_its_own() -> None:
    model = Model(1)
    joint = torch.randn(8, 4)
    layer = model.layers[0]
    assert isinstance(layer, Taps)
    layer.taps = nn.Parameter(joint[2:4])
    value = ModelWeights(model, LayerPlan("layers", (0,), (0,)))["layers.0.taps"]
    assert torch.equal(value, joint[2:4])
    assert value.untyped_storage().nbytes() == value.nbytes
