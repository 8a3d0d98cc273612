"""Layouts of ExecuTorch's files."""

from __future__ import annotations

import io
import re
from pathlib import Path

import executorch.exir
import pytest
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
from torch import nn

from llm_export.compat import program_file as places
from llm_export.compat.delegates import (
    program_fields,
    program_identifier,
    read_delegates,
    xnnpack_parts,
)
from llm_export.compat.edge_config import edge_config
from llm_export.compat.program_file import (
    HEADER_AT,
    SEGMENT_ALIGNMENT,
    read_constants,
    read_header,
    read_segments,
)
from llm_export.compat.tensor_file import ALIGNMENT, Entry, read_tensor_file, write_tensor_file

SCHEMA = Path(executorch.exir.__file__).parent / "_serialize/program.fbs"


def fields(table: str) -> list[str]:
    """Of a table of the schema that ExecuTorch ships, in their order."""
    text = re.sub(r"//.*", "", SCHEMA.read_text(encoding="utf-8"))
    found = re.search(rf"table {table} \{{(.*?)\}}", text, re.DOTALL)
    assert found is not None
    assert "id:" not in found[1], "fields may be numbered apart from their order"
    return re.findall(r"(\w+)\s*:", found[1])


@pytest.mark.parametrize(
    ("table", "field", "place"),
    [
        ("Program", "segments", places.PROGRAM_SEGMENTS),
        ("Program", "constant_segment", places.PROGRAM_CONSTANTS),
        ("DataSegment", "offset", places.SEGMENT_OFFSET),
        ("DataSegment", "size", places.SEGMENT_SIZE),
        ("SubsegmentOffsets", "segment_index", places.CONSTANTS_SEGMENT),
        ("SubsegmentOffsets", "offsets", places.CONSTANTS_OFFSETS),
    ],
)
def test_places_in_vtables(table: str, field: str, place: int) -> None:
    assert place == 4 + 2 * fields(table).index(field)


class Model(nn.Module):
    """A lookup by a kernel, a product by a delegate."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(32, 16)
        self.linear = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.table(x))


@pytest.fixture(scope="module")
def data() -> bytes:
    program = torch.export.export(Model(), (torch.ones(1, 3, dtype=torch.int64),), strict=False)
    edge = to_edge_transform_and_lower(
        program, partitioner=[XnnpackPartitioner()], compile_config=edge_config(dim_order=False)
    )
    config = ExecutorchBackendConfig(extract_delegate_segments=True)
    return bytes(edge.to_executorch(config).buffer)


def test_the_header(data: bytes) -> None:
    assert data[4:6] == b"ET"
    assert data[HEADER_AT : HEADER_AT + 4] == b"eh00"
    header = read_header(data)
    assert header.segment_base_offset + header.segment_data_size == len(data)
    assert header.to_bytes() == data[HEADER_AT : HEADER_AT + header.length]


def test_segments_and_where_the_file_says_so(data: bytes) -> None:
    segments = read_segments(data)
    assert len(segments) >= 2
    assert all(one.offset % SEGMENT_ALIGNMENT == 0 for one in segments)
    stored = [one for one in segments if one.offset_field >= 0]
    assert len(stored) >= len(segments) - 1, "only an offset of zero is not stored"
    for one in stored:
        assert int.from_bytes(data[one.offset_field : one.offset_field + 8], "little") == one.offset
    base = read_header(data).segment_base_offset
    assert max(base + one.offset + one.size for one in segments) == len(data)


def test_delegates_and_what_they_hold(data: bytes) -> None:
    (delegate,) = read_delegates(data)
    assert (delegate.backend, delegate.identifier) == ("XnnpackBackend", "XN01")
    parts = xnnpack_parts(delegate)
    assert parts.nodes == {2}, "XNNFullyConnected"
    assert parts.datatypes == {0, 1}, "none, float32"
    assert program_identifier(data) == "ET12"
    used = program_fields(data)
    assert 6 <= used["Program"] <= 8
    assert 9 <= used["ExecutionPlan"] <= 10


def test_constants_of_kernels(data: bytes) -> None:
    found = read_constants(data)
    assert found is not None
    index, starts = found
    home = base = read_header(data).segment_base_offset
    home += read_segments(data)[index].offset
    assert base <= home
    table = Model().table.weight.detach().numpy().tobytes()
    assert any(data[home + s : home + s + len(table)] == table for s in starts)


def test_a_file_of_tensors_is_read_as_it_was_written() -> None:
    weight = torch.arange(6.0).view(2, 3)
    other = b"\x01\x02\x03\x04" * 5
    file = io.BytesIO()
    entries = {
        "kernel": Entry(0, weight),
        "delegate": Entry(1, None),
        "again": Entry(1, None),
    }
    write_tensor_file(file, [weight.numpy().tobytes(), other], entries)
    data = file.getvalue()
    assert read_tensor_file(data) == {
        "kernel": (weight.numpy().tobytes(), True),
        "delegate": (other, False),
        "again": (other, False),
    }
    assert data.count(other) == 1, "a buffer of two keys is stored once"
    assert data.find(other) % ALIGNMENT == 0
