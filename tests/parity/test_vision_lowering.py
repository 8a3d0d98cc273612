"""Vision encoders of our components as XNNPACK runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.runtime import Runtime
from parity_tools import relative_error

# What XNNPACK does not take: norms, the mean of Gemma's last one, and CLIP's class token.
_OUTSIDE = {"aten.native_layer_norm", "aten.mean.dim", "aten.expand_copy"}


@pytest.mark.parametrize(
    "name",
    [
        # Programs with towers are in tests/integration/test_see_run.py and test_vision_streams.py.
        pytest.param("gemma3", marks=pytest.mark.release),
        pytest.param("llava", marks=pytest.mark.release),
        pytest.param("lfm2_vl", marks=pytest.mark.release),
    ],
)
def test_the_delegate_takes_all_but_norms(name: str, tmp_path: Path) -> None:
    model = vision_models.ours(vision_models.build(name), tmp_path / "m")
    encoder = next(m for m in model.further_methods(4, dynamic=True) if m.name == "vision_encoder")
    pixels = vision_models.picture(model)
    with torch.no_grad():
        expected: Any = encoder.module(pixels)
        exported = torch.export.export(encoder.module, (pixels,), strict=False)
    lowered = to_edge_transform_and_lower(
        exported,
        partitioner=[XnnpackPartitioner()],
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
    )
    nodes = lowered.exported_program().graph.nodes
    outside = {
        str(node.target.name()).replace("::", ".")
        for node in nodes
        if node.op == "call_function" and hasattr(node.target, "name")
    } - {"executorch_call_delegate"}
    assert outside <= _OUTSIDE
    file = tmp_path / "encoder.pte"
    file.write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(file).load_method("forward")
    assert method is not None
    assert relative_error(method.execute((pixels,))[0], expected) < 1e-4
