"""The faults in `llm_export.backends.known_issues`, for real: each of these tests fails when
a release has repaired its fault, and says what may go then."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm_export.backends.known_issues import KNOWN
from llm_export.backends.packages import has_module

X = torch.linspace(-1, 1, 256).reshape(4, 64)
GONE = "repaired: remove '{}' from backends/known.py and this test, and {}"


class TwoLinears(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class State(nn.Module):
    """Two methods over a buffer."""

    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(4))

    def write(self, x: Tensor) -> Tensor:
        self.state.copy_(x)
        return x + 0

    def read(self, x: Tensor) -> Tensor:
        self.state.add_(0 * x)
        return self.state + x


class Method(nn.Module):
    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner, self.name = owner, name

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.owner, self.name)(x)


def quantized(config: Any) -> nn.Module:
    from torchao.quantization import quantize_

    model = TwoLinears().eval()
    quantize_(model, config)
    return model


def lowered(model: nn.Module, partitioners: list[Any], **dynamic: Any) -> Any:
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with torch.no_grad():
        program = torch.export.export(model, (X,), **dynamic)
    config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
    return to_edge_transform_and_lower(program, partitioner=partitioners, compile_config=config)


def failure_of(act: Callable[[], Any]) -> str:
    """Kind and text of the error; empty if there is none."""
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def weight_only() -> nn.Module:
    from torchao.quantization import IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerGroup

    return quantized(IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)))  # type: ignore[attr-defined]


def test_the_list_is_covered() -> None:
    """Those of behaviour, each by a test of its id."""
    source = Path(__file__).read_text(encoding="utf-8")
    for issue in KNOWN:
        assert issue.of_versions or f'"{issue.id}"' in source, issue.id


@pytest.mark.slow
def test_weight_only_linears_are_garbage_on_xnnpack() -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.runtime import Runtime

    model = weight_only()
    program = lowered(model, [XnnpackPartitioner()]).to_executorch().buffer
    got = Runtime.get().load_program(program).load_method("forward").execute((X,))[0]
    want = model(X)
    error = ((got - want).norm() / want.norm()).item()
    assert not error < 0.5, GONE.format(
        "xnnpack-weight-only", "allow 4w and 8w in backends/xnnpack.py"
    )


@pytest.mark.slow
def test_weight_only_linears_have_no_portable_kernel() -> None:
    said = failure_of(lambda: lowered(weight_only(), []).to_executorch())
    expected = "RuntimeError: Missing out variants: {'torchao::dequantize_affine'}"
    assert said == expected, GONE.format(
        "portable-no-dequantize", "allow 4w in backends/portable.py"
    )


@pytest.mark.slow
def test_dynamic_activations_do_not_lower_to_mlx() -> None:
    made = "executorch.backends.mlx.serialization._generated_serializers"
    if not has_module(made):
        pytest.skip("the generated files of the MLX backend are not there")
    from executorch.backends.mlx import MLXPartitioner
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig
    from torchao.quantization.granularity import PerGroup

    model = quantized(
        Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4,  # type: ignore[attr-defined]
            weight_granularity=PerGroup(32),
        )
    )
    said = failure_of(lambda: lowered(model, [MLXPartitioner()]).to_executorch())
    assert "Missing out variants" in said, GONE.format(
        "mlx-no-dynamic-activations", "allow 8da4w in backends/mlx.py"
    )


@pytest.mark.slow
def test_dynamic_shapes_do_not_lower_to_openvino() -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    from executorch.backends.openvino.partitioner import OpenvinoPartitioner
    from executorch.exir.backend.backend_details import CompileSpec

    class Rows(nn.Module):
        """Reads its length, as positions in a context do."""

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.arange(x.shape[0], dtype=torch.float32)[:, None]

    rows = ({0: torch.export.Dim("rows", min=1, max=8)},)
    partitioner = OpenvinoPartitioner([CompileSpec("device", b"CPU")])
    lowered(Rows(), [partitioner])  # fixed ones do
    said = failure_of(lambda: lowered(Rows(), [partitioner], dynamic_shapes=rows))
    assert said.startswith("AttributeError: 'SymInt'"), GONE.format(
        "openvino-no-dynamic-shapes", "try dynamic_shapes in backends/openvino.py"
    )


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="the package has no QNN"
)
def test_a_backend_is_registered_that_cannot_run() -> None:
    from executorch.runtime import Runtime

    from llm_export.backends import BACKENDS

    if BACKENDS.get("qnn").availability().ok:
        pytest.skip("Qualcomm's SDK is here")
    assert Runtime.get().backend_registry.is_available("QnnBackend"), GONE.format(
        "registered-is-not-runnable", "nothing else: needs are declared"
    )


@pytest.mark.slow
def test_the_legacy_loader_does_not_share_buffers() -> None:
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer
    from executorch.runtime import Runtime

    state, zeros, ones = State(), torch.zeros(4), torch.ones(4)
    programs = {n: torch.export.export(Method(state, n), (zeros,)) for n in ("write", "read")}
    plan = MemoryPlanningPass(share_mutable_buffers=True)
    buffer = (
        to_edge_transform_and_lower(programs)
        .to_executorch(ExecutorchBackendConfig(memory_planning_pass=plan))
        .buffer
    )
    shared = Runtime.get().load_program(buffer)
    write, read = shared.load_method("write"), shared.load_method("read")
    write.execute((ones,))
    assert torch.equal(read.execute((zeros,))[0], ones), "runtime_py relies on this"
    legacy = _load_for_executorch_from_buffer(buffer)
    legacy.run_method("write", (ones,))
    assert not torch.equal(legacy.run_method("read", (zeros,))[0], ones), GONE.format(
        "legacy-loader-does-not-share", "nothing else"
    )


def test_the_packages_libraries_have_no_custom_attention() -> None:
    import executorch

    libraries = [
        path
        for folder in executorch.__path__
        for pattern in ("lib/*.so*", "lib/*.dylib")
        for path in Path(folder).glob(pattern)
    ]
    if not libraries:
        pytest.skip("this package has no libraries for C++")
    named = [path.name for path in libraries if b"llama::custom_sdpa" in path.read_bytes()]
    assert not named, GONE.format(
        "no-custom-attention-in-the-wheels-libraries", "say in the docs that C++ runs custom_op"
    )
