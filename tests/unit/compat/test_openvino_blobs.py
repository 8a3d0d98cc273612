"""Compiled models of OpenVINO in fewer bytes: the same values."""

from __future__ import annotations

import numpy as np
import pytest

from llm_export.compat.openvino_blobs import compact

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


@pytest.mark.parametrize("blob", [b"", b"other", bytes(200), bytes([48, *[0] * 47])])
def test_what_another_device_writes_is_left(blob: bytes) -> None:
    assert compact(blob) == blob
