"""The table of docs/consumers.md is what the contracts say of the recorded programs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from llm_export.consumers import CONSUMERS

FILE = Path(__file__).parents[2] / "benchmarks" / "consumer_table.py"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("consumer_table", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["consumer_table"] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_is_that_of_the_record_and_the_contracts(made: ModuleType) -> None:
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.page(text, made.read_record()) == text, "python benchmarks/consumer_table.py"
    assert list(made.read_record()) == list(made.KINDS)
    assert all(name in text for name in CONSUMERS)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.release)
        for kind in ("xnnpack", "xnnpack, fixed shapes", "vulkan", "coreml", "openvino")
    ],
)
def test_a_program_measured_anew(made: ModuleType, kind: str) -> None:
    """If it fails: python benchmarks/consumer_table.py --measure"""
    import json

    assert json.loads(json.dumps(made.measured(made.KINDS[kind]))) == made.read_record()[kind]
