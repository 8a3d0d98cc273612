"""Compiled models of OpenVINO in fewer bytes: the same values."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from llm_export.compat.openvino_blobs import _join, _split, compact

ROWS, COLUMNS, GROUP = 256, 64, 32


def test_a_tied_table_is_stored_once_in_half_precision() -> None:
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)
    groups = COLUMNS // GROUP
    packed = rng.integers(0, 256, ROWS * COLUMNS // 2, np.uint8)
    scales, zeros = (
        rng.uniform(low, high, (ROWS, groups, 1)).astype(np.float16).astype(np.float32)
        for low, high in ((0.01, 0.02), (6, 9))
    )

    def weight() -> object:
        q = ops.constant(ov.Tensor(packed, [ROWS, groups, GROUP], ov.Type.u4))
        values = ops.multiply(ops.subtract(ops.convert(q, "f32"), zeros), scales)
        return ops.reshape(values, [ROWS, COLUMNS], False)

    tokens = ops.parameter([1, 1], np.int64)
    row = ops.gather(weight(), tokens, ops.constant(0))
    model = ov.Model([ops.matmul(row, weight(), False, True)], [tokens])
    core = ov.Core()
    blob = core.compile_model(model, "CPU", {}).export_model().getvalue()
    small = compact(blob)
    once = ROWS * COLUMNS // 2 + 2 * 2 * ROWS * groups
    assert len(blob) > 2 * once + 2 * 2 * 2 * ROWS * groups
    assert len(small) < once + 12_000, "and the graph"
    integers = np.stack([packed & 15, packed >> 4], -1).reshape(ROWS, groups, GROUP)
    values = ((integers.astype(np.float32) - zeros) * scales).reshape(ROWS, COLUMNS)
    found = core.import_model(small, "CPU", {})(np.array([[7]]))[0].ravel()
    expected = values @ values[7]
    np.testing.assert_allclose(found, expected, atol=0.02 * abs(expected).max())


@pytest.mark.parametrize("taken", [True, False])
def test_branches_keep_their_constants(taken: bool) -> None:
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    weight = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    x, condition = ops.parameter([2, 16], np.float32), ops.parameter([], np.bool_)

    def branch(added: float) -> tuple[Any, Any]:
        inner = ops.parameter([2, 16], np.float32)
        product = ops.matmul(inner, ops.constant(weight), False, True)
        shifted = ops.add(product, ops.constant(np.full((1, 16), added, np.float32)))
        return inner, ov.Model([shifted], [inner])

    (one, then), (other, otherwise) = branch(1.0), branch(2.0)
    chosen = ops.if_op(condition)
    chosen.set_then_body(then)
    chosen.set_else_body(otherwise)
    chosen.set_input(x.output(0), one, other)
    made = chosen.set_output(then.get_results()[0], otherwise.get_results()[0])
    model = ov.Model([ops.add(made, ops.matmul(x, ops.constant(weight), False, True))],
                     [x, condition])  # fmt: skip
    core = ov.Core()
    blob = core.compile_model(model, "CPU", {}).export_model().getvalue()
    small = compact(blob)
    assert len(blob) - len(small) > weight.nbytes
    inputs = [np.ones((2, 16), np.float32), np.array(taken)]
    expected, found = (core.import_model(b, "CPU", {})(inputs)[0] for b in (blob, small))
    np.testing.assert_array_equal(found, expected)


LAYER = '<layer id="0" name="w" type="{0}"><data offset="{1}" size="{2}"/></layer>'


@pytest.mark.parametrize(
    "layer",
    [
        LAYER.format("Const", 0, 16),
        LAYER.format("Const", 16, 4),
        LAYER.format("Const", -4, 4),
        LAYER.format("Const", "a", 4),
        LAYER.format("Other", 0, 4),
        LAYER.format("Const", 0, 4).replace(" id=", " key="),
    ],
    ids=["too long", "behind the end", "negative", "no number", "of another layer", "no id"],
)
def test_constants_of_another_form_are_left(layer: str) -> None:
    def blob(layer: str) -> bytes:
        text = f"<net><layers>{layer}</layers><edges/></net>"
        return _join(b"", bytes(8), ElementTree.fromstring(text))

    assert _split(compact(blob(LAYER.format("Const", 0, 4))))[1] == bytes(4)  # type: ignore[index]
    assert compact(blob(layer)) == blob(layer)


def test_a_part_of_a_blob_is_left() -> None:
    graph = f"<net><layers>{LAYER.format('Const', 0, 8)}</layers><edges/></net>"
    blob = _join(b"a", bytes(8), ElementTree.fromstring(graph))
    for part in (blob[:-1], blob[:40], blob + b"0"):
        assert compact(part) == part


@pytest.mark.parametrize("blob", [b"", b"other", bytes(200), bytes([48, *[0] * 47])])
def test_what_another_device_writes_is_left(blob: bytes) -> None:
    assert compact(blob) == blob
