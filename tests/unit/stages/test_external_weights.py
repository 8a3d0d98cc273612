"""The weights of an adapter leave the program, each under a key of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm_export.backends import BACKENDS
from llm_export.bundle.adapter_file import Layout, Place, write_weights
from llm_export.errors import BundleError, PostConditionError
from llm_export.models.components.lora import Factors, LoraLinear, factor_tensors, stacked
from llm_export.models.lora import Capacity
from llm_export.stages.lowering.external_weights import ExternalWeights
from runtime_py.native_log import captured_native_log

X = torch.linspace(-1, 1, 16).view(1, 2, 8)


class Two(nn.Module):
    """Two linears with factors of equal shapes: all their values are the same, too."""

    def __init__(self, transposed: bool, value: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        factors = Factors(torch.full((2, 8), value), torch.full((8, 2), value))
        self.first = LoraLinear(nn.Linear(8, 8), factors, transposed)
        self.second = LoraLinear(nn.Linear(8, 8), factors, transposed)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def lowered(model: nn.Module, backend: str) -> tuple[Any, dict[str, Place]]:
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    program = torch.export.export(model.eval(), (X,), strict=False)
    external = ExternalWeights([program], factor_tensors(model))
    chosen = BACKENDS.get(backend)
    parts: Any = chosen.partitioners(None) or None  # type: ignore[arg-type]
    edge = to_edge_transform_and_lower(
        program, partitioner=parts, compile_config=chosen.edge_config()
    )
    done = edge.to_executorch(
        ExecutorchBackendConfig(
            do_quant_fusion_and_const_prop=True, external_constants=external.constants
        )
    )
    return done, external.places(done)


@pytest.mark.parametrize(("backend", "transposed"), [("portable", True), ("xnnpack", False)])
def test_equal_weights_have_their_own_places(
    backend: str, transposed: bool, tmp_path: Path
) -> None:
    from executorch.runtime import Runtime

    done, places = lowered(Two(transposed, 0.25), backend)
    assert sorted(places) == ["first.lora_a", "first.lora_b", "second.lora_a", "second.lora_b"]
    assert len({place.key for place in places.values()}) == 4
    assert all(place.tensor == transposed for place in places.values())
    (tmp_path / "m.pte").write_bytes(done.buffer)
    for value in (0.25, 0.0, -3.0):
        model = Two(transposed, value).eval()
        write_weights(tmp_path / "m.ptd", places, factor_tensors(model))
        with captured_native_log():
            program = Runtime.get().load_program(tmp_path / "m.pte", data_path=tmp_path / "m.ptd")
            got = program.load_method("forward").execute((X,))[0]
        assert torch.allclose(got, model(X), atol=1e-5)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


@pytest.mark.slow
def test_the_program_does_not_depend_on_the_adapter() -> None:
    programs = [lowered(Two(True, value), "portable")[0].buffer for value in (0.25, -3.0)]
    assert programs[0] == programs[1]


def test_a_weight_that_lowering_changes_is_noticed() -> None:
    """Without a delegate, constant propagation would put its transpose into the program."""
    with pytest.raises(PostConditionError, match=r"did not keep 'first.lora_a' apart"):
        lowered(Two(transposed=False, value=0.5), "portable")


def test_other_parameters_are_not_written(tmp_path: Path) -> None:
    places = {"a": Place("a", (2, 2), True)}
    with pytest.raises(ValueError, match="not the parameters of the program"):
        write_weights(tmp_path / "m.ptd", places, {"a": torch.zeros(2, 3)})
    assert list(tmp_path.iterdir()) == []


def test_a_layout_reads_back_or_says_why_not(tmp_path: Path) -> None:
    layout = Layout({"m.q": Capacity(4, 8, 6)}, {"q.lora_a": Place("key", (4, 6), False)})
    for each in (replace(layout, ends=(5, 7)), layout):
        each.write(tmp_path / "layout.json")
        assert Layout.read(tmp_path / "layout.json") == each
    written = json.loads((tmp_path / "layout.json").read_text())
    # As version 0.1 wrote it.
    former = {"rooms": written["capacity"], "places": written["places"]}
    (tmp_path / "layout.json").write_text(json.dumps(former))
    assert Layout.read(tmp_path / "layout.json") == layout
    (tmp_path / "layout.json").write_text('{"capacity": {}}')
    with pytest.raises(BundleError, match="the layout of the bundle's adapters cannot be read"):
        Layout.read(tmp_path / "layout.json")


def test_stacked_factors_add_what_the_parts_add() -> None:
    torch.manual_seed(0)
    a, b, c = (Factors(torch.randn(r, 6), torch.randn(n, r)) for r, n in ((2, 4), (3, 5), (1, 7)))
    shared = Factors(a.a, torch.randn(7, 2))
    both = stacked([(4, a), (5, None), (7, c)])
    want = torch.cat([a.b @ a.a, torch.zeros(5, 6), c.b @ c.a])
    assert torch.allclose(both.b @ both.a, want, atol=1e-6)
    assert both.a.shape == (3, 6)
    one = stacked([(4, a), (5, b), (7, shared)])
    assert one.a.shape == (5, 6)
    assert torch.allclose(one.b @ one.a, torch.cat([a.b @ a.a, b.b @ b.a, shared.b @ a.a]),
                          atol=1e-6)  # fmt: skip
