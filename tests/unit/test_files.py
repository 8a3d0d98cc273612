"""JSON files that strict readers take."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from llm_export.files import write_json


def _refused(name: str) -> None:
    pytest.fail(f"{name} is no number of JSON")


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": math.inf, "b": [1.5, math.nan], "c": ({"d": -math.inf},), "e": None})
    read = json.loads(file.read_text(), parse_constant=_refused)
    assert read == {"a": None, "b": [1.5, None], "c": [{"d": None}], "e": None}
