"""What is relied on of ExecuTorch's tracer and of its reader."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import Tensor, nn

from llm_export.compat.edge_config import edge_config
from llm_export.compat.etdump import CALLS, STEP, read_trace
from llm_export.profile.chain import Chain


class Model(nn.Module):
    """A product in a delegate, and a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(self.linear(x), 1)


@pytest.mark.slow
def test_a_trace(tmp_path: Path) -> None:
    program = torch.export.export(Model(), (torch.ones(1, 8),), strict=False)
    made = to_edge_transform_and_lower(
        program, partitioner=[XnnpackPartitioner()], compile_config=edge_config(dim_order=False)
    ).to_executorch()
    (tmp_path / "model.pte").write_bytes(made.buffer)
    loaded = Runtime.get().load_program(
        tmp_path / "model.pte", enable_etdump=True, debug_buffer_size=0
    )
    method = loaded.load_method("forward")
    for _ in range(3):
        method.execute((torch.ones(1, 8),))
    loaded.write_etdump_result_to_file(str(tmp_path / "trace"), str(tmp_path / "debug"))
    events = read_trace(tmp_path / "trace")
    assert {len(event.seconds) for event in events} == {3}
    whole = next(event for event in events if event.name == STEP)
    calls = [event for event in events if event.name in CALLS]
    operators = Chain.of(made.executorch_program.execution_plan[0]).operators
    assert {event.instruction for event in calls} == set(operators)
    assert sum(sum(event.seconds) for event in calls) < sum(whole.seconds) < 60
    inside = [event for event in events if event.inside]
    assert [event.name.partition(" (")[0] for event in inside] == ["Fully Connected"]
    assert operators[inside[0].instruction] == "delegate"
