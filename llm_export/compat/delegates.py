"""What a program file (.pte) holds for backends: its delegates, and the operations of XNNPACK's.

Fields are found by their place in a table, as in ``program_file``: those of ``schema/program.fbs``
and ``backends/xnnpack/serialization/runtime_schema.fbs`` of executorch 1.5.1, which only grow.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

from llm_export.compat.flatbuffer import child, root, scalar, string, tables
from llm_export.compat.program_file import HEADER_AT, read_segments

_SEGMENTS_AT = slice(HEADER_AT + 16, HEADER_AT + 24)
"""Where segments begin, in the extended header, whose reader in ExecuTorch takes long to import."""
_PLANS, _INLINE = 6, 10
"""``Program.execution_plan`` and ``Program.backend_delegate_data``."""
_VALUES, _DELEGATES = 8, 18
"""``ExecutionPlan.values`` and ``ExecutionPlan.delegates``."""
_FIRST, _SECOND = 4, 6
"""The first two fields of a table; of a union its kind and its value."""
_TENSOR_KIND, _TENSOR_EXTRA = 5, 22
"""``KernelTypes.Tensor`` and ``Tensor.extra_tensor_info``."""
_NODES, _XVALUES, _DQ_DATATYPE = 6, 8, 18
"""``XNNGraph.xnodes``, ``XNNGraph.xvalues`` and ``XNNTensorValue.dq_datatype``."""
_MAGIC, _FLATBUFFER = slice(4, 8), slice(10, 14)
"""Of XNNPACK's delegates: the header's magic, and where the flatbuffer begins."""


@dataclass(frozen=True)
class Delegate:
    """A part of a program for a backend: its name, and its bytes as the backend's compiler wrote
    them."""

    backend: str
    data: bytes

    @property
    def identifier(self) -> str:
        """Four letters of the format; of XNNPACK's behind its header."""
        body = _behind_header(self.data) if self.data[_MAGIC] == b"XH00" else self.data
        return body[_MAGIC].decode("latin-1")


@dataclass(frozen=True)
class XnnpackParts:
    """Numbers of ``XNodeUnion`` and ``XNNDatatype`` in a delegate."""

    nodes: frozenset[int]
    datatypes: frozenset[int]


def program_identifier(data: bytes | mmap.mmap) -> str:
    """ET12 in all versions so far."""
    return bytes(data[_MAGIC]).decode("latin-1")


def program_fields(data: bytes | mmap.mmap) -> dict[str, int]:
    """Table of ``program.fbs`` -> how many of its fields the file uses: the place of the last."""
    top = root(data)
    plans = tables(top, _PLANS)
    found = {"Program": _used(top), "ExecutionPlan": max(map(_used, plans), default=0)}
    extra = 0
    for plan in plans:
        for value in tables(plan, _VALUES):
            if scalar(value, _FIRST, "Uint8Flags") == _TENSOR_KIND:
                more = child(child(value, _SECOND), _TENSOR_EXTRA)
                extra = max(extra, 0 if more is None else _used(more))
    return {**found, "ExtraTensorInfo": extra}


def read_delegates(data: bytes | mmap.mmap) -> list[Delegate]:
    """The delegates of all methods."""
    top, base = root(data), int.from_bytes(data[_SEGMENTS_AT], "little")
    segments, inline = read_segments(data), tables(top, _INLINE)
    found = []
    for plan in tables(top, _PLANS):
        for delegate in tables(plan, _DELEGATES):
            where = child(delegate, _SECOND)
            index = scalar(where, _SECOND, "Uint32Flags")
            if scalar(where, _FIRST, "Int8Flags"):  # in a segment
                start = base + segments[index].offset
                content = bytes(data[start : start + segments[index].size])
            else:
                content = _bytes(inline[index])
            found.append(Delegate(string(delegate, _FIRST), content))
    return found


def xnnpack_parts(delegate: Delegate) -> XnnpackParts:
    """Of a delegate of ``XnnpackBackend``."""
    graph = root(_behind_header(delegate.data))
    nodes = {scalar(node, _FIRST, "Uint8Flags") for node in tables(graph, _NODES)}
    datatypes = set()
    for value in tables(graph, _XVALUES):
        tensor = child(value, _SECOND)
        if scalar(value, _FIRST, "Uint8Flags") == 2:  # quantized, around the tensor
            tensor = child(tensor, _FIRST)
        datatypes |= {scalar(tensor, place, "Int16Flags") for place in (_FIRST, _DQ_DATATYPE)}
    return XnnpackParts(frozenset(nodes), frozenset(datatypes))


def _behind_header(data: bytes) -> bytes:
    if data[_MAGIC] != b"XH00":
        return data
    return data[int.from_bytes(data[_FLATBUFFER], "little") :]


def _used(table: Any) -> int:
    """The place of a table's last field that is stored, counted from 1."""
    size = int.from_bytes(table.Bytes[_vtable(table) : _vtable(table) + 2], "little")
    return next((i + 1 for i in reversed(range((size - 4) // 2)) if table.Offset(4 + 2 * i)), 0)


def _vtable(table: Any) -> int:
    from flatbuffers import number_types

    return int(table.Pos - table.Get(number_types.SOffsetTFlags, table.Pos))


def _bytes(table: Any) -> bytes:
    found = table.Offset(_FIRST)
    if not found:
        return b""
    start = table.Vector(found)
    return bytes(table.Bytes[start : start + table.VectorLen(found)])
