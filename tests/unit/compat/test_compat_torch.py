"""What is relied on of torch."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._C import DispatchKey
from torch._export import utils
from torch._ops import OperatorBase
from torch.export import ExportedProgram
from torch.fx.traceback import NodeSource

from llm_export.compat.exported_program import over, set_signature
from llm_export.compat.fake_loading import needs_values, without_values
from llm_export.compat.fake_values import tree_leaves, tree_map
from llm_export.compat.light_graphs import light_graphs
from llm_export.compat.module_state import file_offset, is_view, own_buffers, own_tensors
from llm_export.compat.pickled_names import TRUSTED
from llm_export.compat.run_decompositions import Plain, run_decompositions_by
from llm_export.compat.symbolic_checks import check


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("shift", torch.ones(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.shift


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    return torch.export.export(Layer(), (torch.ones(1, 4),), strict=False)


def test_a_program_over_other_values(program: ExportedProgram) -> None:
    state = {n: nn.Parameter(torch.zeros_like(t)) for n, t in program.state_dict.items()}
    made = over(program, state, {n: t * 7 for n, t in program.constants.items()})
    assert made.graph_module is program.graph_module
    assert torch.equal(made.module()(torch.ones(1, 4)), torch.full((1, 3), 7.0))
    assert not torch.equal(program.module()(torch.ones(1, 4)), torch.full((1, 3), 7.0))


def test_a_signature_is_set(program: ExportedProgram) -> None:
    made = over(program, program.state_dict, program.constants)
    signature = type(program.graph_signature)([], [])
    set_signature(made, signature)
    assert made.graph_signature is signature
    assert program.graph_signature is not signature


def test_decompositions_are_run_by_a_function(program: ExportedProgram) -> None:
    plain = ExportedProgram.run_decompositions
    assert list(inspect.signature(plain).parameters)[:2] == ["self", "decomp_table"]
    tables = []

    def run(former: Plain, self: ExportedProgram, table: Mapping[Any, Any]) -> ExportedProgram:
        assert former is plain
        tables.append(table)
        return former(self, table)

    with run_decompositions_by(run):
        program.run_decompositions({})
        program.run_decompositions()  # the default table is torch's own matter
    assert tables == [{}]
    assert ExportedProgram.run_decompositions is plain


def test_graphs_are_written_out_when_they_are_called_or_read(program: ExportedProgram) -> None:
    graph = copy.deepcopy(program.graph)
    with light_graphs():
        module = torch.fx.GraphModule(torch.nn.Module(), graph)
        assert "_code" not in vars(module)
        assert "torch.ops.aten.linear" in module.code
        source = NodeSource(next(iter(graph.nodes)))
        assert copy.deepcopy(source) is source
        called = program.module()
        assert "_code" not in vars(called)
        assert torch.equal(called(torch.ones(1, 4)), program.module()(torch.ones(1, 4)))
        assert "_code" in vars(called)
        assert "linear" in module.recompile().src
        later = program.module()
        assert str(later) == "GraphModule()"
    assert "def forward" in str(copy.deepcopy(later))
    assert torch.equal(later(torch.ones(1, 4)), called(torch.ones(1, 4)))
    assert copy.deepcopy(source) is not source
    assert "_code" in vars(torch.fx.GraphModule(torch.nn.Module(), graph))


def test_a_graph_without_source_is_pickled_with_it() -> None:
    with light_graphs():
        module = torch.fx.symbolic_trace(nn.Linear(2, 2))
        assert "_code" not in vars(module)
        read = pickle.loads(pickle.dumps(module))
    assert torch.equal(read(torch.ones(2)), module(torch.ones(2)))


def test_new_composite_operators_are_found() -> None:
    with light_graphs():
        utils._materialize_cpp_cia_ops()
        with torch.library._scoped_library("later", "DEF") as library:
            library.define("twice(Tensor x) -> Tensor")
            library.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
            assert torch.ops.later.twice.default in utils._collect_all_valid_cia_ops()


def test_rules_of_operators_are_set_as_torch_does() -> None:
    add, key = torch.ops.aten.add.Tensor, DispatchKey.AutogradXLA
    plain, former = OperatorBase.py_impl, dict(add.py_kernels)
    try:
        with light_graphs():
            assert OperatorBase.py_impl is not plain
            assert add.py_impl(key)(torch.sub) is torch.sub
            assert (add.py_kernels[key], key in add._dispatch_cache) == (torch.sub, False)
            with pytest.raises(RuntimeError, match="Trying to override a python impl"):
                add.py_impl(key)(torch.mul)
            with pytest.raises(AssertionError, match=r"DispatchKey.Python"):
                add.py_impl(DispatchKey.Python)(torch.mul)
        assert OperatorBase.py_impl is plain
    finally:
        add.py_kernels.clear()
        add.py_kernels.update(former)


def test_trees() -> None:
    assert tree_leaves(([1, 2], {"a": 3})) == [1, 2, 3]
    assert tree_map(lambda n: n + 1, ([1], {"a": (2,)})) == ([2], {"a": (3,)})


def test_a_check_raises_in_eager_mode() -> None:
    check(True)
    with pytest.raises(RuntimeError):
        check(False)


def test_a_check_holds_in_an_exported_graph() -> None:
    class Sliced(nn.Module):
        def forward(self, x: Tensor, at: Tensor) -> Tensor:
            start = at.item()
            check(start >= 0)
            check(start + 1 <= 8)
            return x.narrow(0, int(start) if isinstance(start, float) else start, 1)

    args = (torch.arange(8.0), torch.tensor(3))
    made = torch.export.export(Sliced(), args, strict=False)
    assert made.module()(*args).tolist() == [3.0]


def test_buffers_of_a_module_can_be_taken_away() -> None:
    layer = Layer()
    buffers = own_buffers(layer)
    assert list(buffers) == ["shift"]
    buffers.clear()
    assert not hasattr(layer, "shift")
    own_buffers(layer)["shift"] = torch.zeros(3)
    assert layer.shift.sum() == 0  # type: ignore[operator]
    assert [name for name, _ in own_tensors(layer)] == ["shift"]
    assert [name for name, _ in own_tensors(layer.linear)] == ["weight", "bias"]


def test_views() -> None:
    value = torch.ones(4, 4)
    assert is_view(value[1:])
    assert not is_view(value)
    assert not is_view(value[1:].clone())


def test_where_a_tensor_lies_in_its_file(tmp_path: Path) -> None:
    values = {"a": torch.arange(5.0), "b": torch.arange(7, dtype=torch.int64)}
    torch.save(values, tmp_path / "file.pt")
    found = torch.load(tmp_path / "file.pt", map_location="meta", weights_only=True)
    data = (tmp_path / "file.pt").read_bytes()
    for name, value in values.items():
        start = file_offset(found[name])
        assert data[start : start + value.nbytes] == value.numpy().tobytes()


@pytest.mark.parametrize("value", [nn.Linear, torch.nn.functional.gelu, torch.nn.functional.silu])
def test_places_that_pickles_name(value: Any) -> None:
    assert f"{value.__module__}.{value.__name__}".startswith(TRUSTED)


def test_tensors_without_values() -> None:
    with without_values():
        big = torch.empty(1 << 40)  # 4 TiB
        stacked = torch.stack([big, big])
        assert (tuple(stacked.shape), stacked.device.type) == ((2, 1 << 40), "cpu")
        with pytest.raises(RuntimeError) as read:
            big.sum().item()
        with pytest.raises(RuntimeError) as misfit:
            torch.cat([stacked, torch.empty(3, 3)])
    assert needs_values(read.value)
    assert not needs_values(misfit.value)
    with pytest.raises(RuntimeError) as on_meta:
        torch.empty(1, device="meta").item()
    assert needs_values(on_meta.value)
