"""The table of tried pairs in the docs is of this code and of the installed ExecuTorch."""

from __future__ import annotations

import json

import pytest

from benchmarks import backend_matrix as matrix
from llm_export.backends import BACKENDS

FACTS = json.loads(matrix.FACTS.read_text(encoding="utf-8"))


def test_the_page_has_the_table() -> None:
    """Else: python benchmarks/backend_matrix.py --render"""
    assert matrix.table(FACTS) in matrix.PAGE.read_text(encoding="utf-8")


def test_the_table_is_of_the_installed_executorch() -> None:
    assert FACTS["executorch"] == matrix.version("executorch")


def test_the_table_has_every_pair_that_is_taken() -> None:
    """Of all backends that need no vendor's kit, device or other system."""
    tried = {name.split(" ")[0] for name in FACTS["rows"]}
    assert tried >= {"portable", "xnnpack", "openvino", "coreml", "vulkan", "webgpu", "mlx",
                     "tosa", "ethos_u", "vgf", "coreai"}  # fmt: skip
    taken = {f"{b} {q}" for b, q in matrix.pairs() if b in tried}
    assert set(FACTS["rows"]) == taken


@pytest.mark.parametrize("name", FACTS["rows"])
def test_every_tried_pair_is_right(name: str) -> None:
    row = FACTS["rows"][name]
    assert row["lowered"], row["why"]
    rounded = row["ran"] or name.endswith(("fp16", "bf16", "8a8w"))
    assert row["error"] < (2e-3 if rounded else 1e-9)


@pytest.mark.release
@pytest.mark.parametrize(
    "name",
    ["coreml 4w", "mlx 4w", "openvino 4w", "portable none", "vulkan 8da4w", "xnnpack 8da4w"],
)
def test_a_row_measured_anew(name: str) -> None:
    backend, quant = name.split(" ")
    state = BACKENDS.get(backend).availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    found, row = matrix.measure(backend, quant), FACTS["rows"][name]
    assert found["lowered"], found
    assert {k: found[k] for k in ("ran", "delegates", "share")} == {
        k: row[k] for k in ("ran", "delegates", "share")
    }
    assert found["bytes"] == pytest.approx(row["bytes"], rel=0.02)
    assert found["loss"] == pytest.approx(row["loss"], rel=0.2, abs=1e-4)
