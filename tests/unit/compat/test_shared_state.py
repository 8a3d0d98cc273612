"""Buffers that one method writes and another reads stay one memory in a program."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

from llm_export.compat.shared_state import passes_for_shared_state, written_buffers


class Model(nn.Module):
    kept: Tensor
    fixed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(2, 4), persistent=False)
        self.register_buffer("fixed", torch.ones(4), persistent=False)


class Write(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        self.model.kept[1:, :2].copy_(x)  # in place, through two views
        return x + 1


class Read(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.model.kept[:, :2] + self.model.fixed[:2]


def captured() -> dict[str, ExportedProgram]:
    model = Model()
    with torch.no_grad():
        return {
            "write": export(Write(model), (torch.ones(1, 2),)),
            "read": export(Read(model), (torch.ones(1, 2),)),
        }


def test_what_one_method_writes_another_declares() -> None:
    programs = captured()
    assert written_buffers(programs["write"]) == {"model.kept"}
    assert written_buffers(programs["read"]) == set()
    passes = passes_for_shared_state(programs)
    assert passes["write"] == []
    functional = programs["read"].run_decompositions({})
    declared = passes["read"][0](functional).exported_program
    assert list(declared.graph_signature.buffers_to_mutate.values()) == ["model.kept"]
    outputs = declared.graph.output_node().args[0]
    assert [node.op for node in outputs] == ["placeholder", "call_function"]


def test_nothing_changes_where_each_method_writes_what_it_reads() -> None:
    program = captured()["write"]
    assert passes_for_shared_state({"a": program, "b": program}) == {"a": [], "b": []}
