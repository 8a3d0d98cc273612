"""What is relied on of ExecuTorch's lowering."""

from __future__ import annotations

import copy
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.pass_base import ExportPass
from executorch.exir.passes import MemoryPlanningPass
from executorch.runtime import Runtime
from torch import Tensor, nn

from llm_export.compat.edge_config import edge_config
from llm_export.compat.edge_manager import constant_methods, edge_programs, replace_program
from llm_export.compat.export_pass import (
    HOOKS,
    call_owner,
    export_pass_calls_by,
    unchanged,
    works_by_tracing,
)
from llm_export.compat.exported_program import set_signature
from llm_export.compat.lowered_module import lowered_module, preprocess
from llm_export.compat.operators import (
    define_decomposed_quantization,
    define_quantized_operators,
    operator_name,
    plain_operator,
    size_operator,
)
from llm_export.compat.state_method import MutableBuffer, with_state_method
from llm_export.compat.tensor_specs import (
    allocation,
    is_spec,
    spec_copy,
    spec_of,
    spec_without_base,
)
from llm_export.compat.to_executorch import (
    NamedData,
    copy_graph,
    functional_program,
    ready_for_planning,
    with_write_back,
)
from llm_export.compat.trace_caches import forget_traces
from llm_export.compat.xnnpack_partitioner import (
    Partition,
    XnnpackPartitioner,
    is_constant_data,
)
from llm_export.compat.xnnpack_pass_manager import xnnpack_passes_by
from runtime_py.compat import returned_memory


class Counter(nn.Module):
    """A linear, a buffer that each step changes, and an operator outside of delegates."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(32, 64)
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.steps.add_(1)
        return torch.cumsum(self.linear(x), 1) + self.steps


@cache
def exported() -> Any:
    return torch.export.export(Counter(), (torch.ones(2, 32),), strict=False)


def edge_of(partitioner: list[Any]) -> Any:
    """One of the caller's own."""
    program = copy.deepcopy(exported())
    return to_edge_transform_and_lower(
        {"forward": program},
        partitioner=partitioner,
        compile_config=edge_config(dim_order=False),
        constant_methods={"get_answer": 42},
    )


@cache
def plain_edge() -> Any:
    """For those that change nothing of it."""
    return edge_of([])


def settings() -> ExecutorchBackendConfig:
    return ExecutorchBackendConfig(
        extract_delegate_segments=True,
        do_quant_fusion_and_const_prop=True,
        memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False),
    )


@cache
def program_of(delegates: bool) -> bytes:
    """The program that ExecuTorch's own ``to_executorch`` makes of ``Counter``."""
    partitioner = [XnnpackPartitioner()] if delegates else []
    return bytes(edge_of(partitioner).to_executorch(settings()).buffer)


@pytest.mark.parametrize(
    "partitioner",
    [
        pytest.param([], id="plain"),
        pytest.param([XnnpackPartitioner()], id="xnnpack", marks=pytest.mark.slow),
    ],
)
def test_the_steps_are_those_of_to_executorch(partitioner: list[Any]) -> None:
    """Byte for byte: all passes, in this order, and what delegates keep by name."""
    edge, config, data, programs = edge_of(partitioner), settings(), NamedData(), {}
    for name, edge_program in edge_programs(edge).items():
        program = functional_program(edge_program, config)
        module, signature = with_write_back(program)
        module = ready_for_planning(program, module, config, edge.compile_config, name)
        set_signature(program, signature)
        planned = config.memory_planning_pass.run(module, signature)
        copy_graph(program, planned.graph_module)
        data.collect(program)
        programs[name] = program
    config.memory_planning_pass.run_multimethod()
    assert data.emitted(programs, edge, config).buffer == program_of(bool(partitioner))


def test_a_method_returns_the_buffers_of_the_others(tmp_path: Path) -> None:
    with with_state_method("state", ["steps"]) as found:
        made = edge_of([]).to_executorch(settings())
    assert found == [MutableBuffer("steps", (1,), "float32", 4)]
    assert len(made.buffer) - len(program_of(delegates=False)) < 500
    path = tmp_path / "p.pte"
    path.write_bytes(made.buffer)
    program = Runtime.get().load_program(path)
    forward = program.load_method("forward")
    (steps,) = returned_memory(program.load_method("state"))
    forward.execute([torch.ones(2, 32)])
    before = steps.item()
    first = forward.execute([torch.ones(2, 32)])[0]
    assert steps.item() == before + 1
    steps.fill_(before)
    assert torch.equal(forward.execute([torch.ones(2, 32)])[0], first)
    with with_state_method("state", ["steps", "other"]) as found:
        assert edge_of([]).to_executorch(settings()).buffer == program_of(delegates=False)
    assert found == []


def test_programs_of_a_manager() -> None:
    edge = edge_of([])
    assert list(edge_programs(edge)) == ["forward"]
    assert edge_programs(edge)["forward"] is edge.exported_program("forward")
    assert constant_methods(edge) == {"get_answer": 42}
    other = edge_of([]).exported_program()
    replace_program(edge, "forward", other)
    assert edge.exported_program("forward") is other


@pytest.mark.parametrize("dim_order", [False, True])
def test_the_edge_config(dim_order: bool) -> None:
    made = edge_config(dim_order=dim_order)
    assert made._check_ir_validity is False
    assert made._skip_dim_order is not dim_order


@pytest.mark.slow
def test_xnnpack_looks_its_pass_manager_up() -> None:
    from executorch.backends.xnnpack import xnnpack_preprocess

    former = xnnpack_preprocess.XNNPACKPassManager
    assert list(inspect.signature(former).parameters)[:2] == ["exported_program", "passes"]
    seen = []

    def run(plain: Any, program: Any, passes: Any) -> Any:
        manager = plain(program, passes)
        seen.append((plain, [one.__name__ for one in manager.passes]))
        return manager.transform()

    with xnnpack_passes_by(run):
        patched = edge_of([XnnpackPartitioner()])
    assert xnnpack_preprocess.XNNPACKPassManager is former
    assert {plain for plain, _ in seen} == {former}
    assert "ConvertToSDPAPass" in seen[0][1]
    assert patched.to_executorch(settings()).buffer == program_of(True)


def test_hooks_of_a_trace() -> None:
    """Every method that a pass may override to change nodes as they are traced."""
    assert all(hasattr(ExportPass, name) for name in HOOKS)
    found = {name for name in dir(ExportPass) if name.startswith("call_")}
    assert found <= set(HOOKS)

    class Traces(ExportPass):
        def call_operator(self, op: Any, args: Any, kwargs: Any, meta: Any) -> Any:
            return super().call_operator(op, args, kwargs, meta)

    class Walks(ExportPass):
        pass

    assert works_by_tracing(Traces())
    assert not works_by_tracing(Walks())


def test_calls_of_passes_go_by_a_function() -> None:
    class Walks(ExportPass):
        pass

    module = plain_edge().exported_program().graph_module
    former = call_owner().call
    with export_pass_calls_by(lambda plain, one, graph: unchanged(graph)):
        result = Walks()(module)
    assert result.graph_module is module
    assert not result.modified
    assert call_owner().call is former
    assert Walks()(module).graph_module is not module, "it traces anew"


def test_partitions_of_xnnpack() -> None:
    edge = plain_edge()
    program = edge.exported_program()
    made = XnnpackPartitioner().generate_partitions(program)
    assert made
    assert all(isinstance(one, Partition) for one in made)
    inputs = {
        n.name: is_constant_data(program, n) for n in program.graph.find_nodes(op="placeholder")
    }
    assert inputs["p_linear_weight"] is True
    assert inputs["x"] is False


def test_a_delegate_is_made_again() -> None:
    module = edge_of([XnnpackPartitioner()]).exported_program().graph_module
    lowered = next(m for m in module.children() if hasattr(m, "processed_bytes"))
    result = preprocess(lowered, lowered.original_module)
    assert result.processed_bytes == lowered.processed_bytes
    made = lowered_module(
        lowered, lowered.original_module, result.processed_bytes, result.data_store_output,
        {"debug_handle_map": result.debug_handle_map},
    )  # fmt: skip
    assert type(made) is type(lowered)
    assert made.backend_id == lowered.backend_id
    assert made.compile_specs == lowered.compile_specs
    assert made.meta == lowered.meta


def test_copies_of_specs() -> None:
    from executorch.exir.passes.replace_view_copy_with_view_pass import _ViewSpec

    base = spec_of(torch.ones(4, 6))
    assert is_spec(base)
    assert not is_spec(None)
    base.mem_id, base.mem_offset = 1, 64
    made = spec_copy(base, lambda b: b)
    assert made is not base
    assert (made.mem_id, made.mem_offset) == (None, None)
    assert (made.shape, made.dtype, made.shape_dynamism) == ([4, 6], base.dtype,
                                                             base.shape_dynamism)  # fmt: skip
    view = _ViewSpec(base, torch.Size((2, 12)))
    copied = spec_copy(view, lambda b: made)
    assert type(copied) is _ViewSpec
    assert list(copied.shape) == [2, 12]
    made.mem_id = 7
    assert copied.mem_id == 7, "a view's place is its base's"
    assert view.mem_id == 1


def test_a_spec_that_is_no_view() -> None:
    from executorch.exir.passes.replace_view_copy_with_view_pass import _ViewSpec

    base = spec_of(torch.ones(4, 6))
    made = spec_without_base(_ViewSpec(base, torch.Size((2, 12))))
    assert getattr(made, "_base", None) is None
    assert (made.shape, made.dtype, made.stride) == ([2, 12], torch.float32, (12, 1))
    assert spec_without_base(3) == 3


def test_the_operator_of_memory() -> None:
    made = allocation()(((2, 3), torch.float32))
    assert made.shape == (2, 3)
    assert made.dtype == torch.float32


def test_names_of_operators() -> None:
    plain = torch.ops.aten.linear.default
    assert operator_name(plain) == "aten::linear"
    assert plain_operator(plain) is plain
    found = {}
    for node in plain_edge().exported_program().graph.nodes:
        if node.op == "call_function":
            found[operator_name(node.target)] = plain_operator(node.target)
    assert found["aten::cumsum"] is torch.ops.aten.cumsum.default
    assert operator_name(len) == ""
    assert plain_operator("x") == "x"


@pytest.mark.parametrize("name", ["add", "sub", "mul", "floordiv", "gt"])
def test_operators_on_sizes(name: str) -> None:
    assert operator_name(size_operator(name)) == f"executorch_prim::{name}"


def test_operators_that_are_defined_by_an_import() -> None:
    define_quantized_operators()
    define_decomposed_quantization()
    ops = torch.ops.quantized_decomposed
    for name in ("embedding_byte", "mixed_linear", "quantize_per_token",
                 "choose_qparams_per_token_asymmetric"):  # fmt: skip
        assert getattr(ops, name).default._schema.name == f"quantized_decomposed::{name}"


def test_caches_of_traces_are_emptied() -> None:
    from executorch.exir.backend.utils import is_same_node
    from torch._subclasses.fake_tensor import FakeTensorMode

    edge_of([XnnpackPartitioner()])
    assert FakeTensorMode.cache_info().size
    forget_traces()
    assert FakeTensorMode.cache_info().size == 0
    assert is_same_node.cache_info().currsize == 0
