"""A command that failed in a process of its own says why in one line."""

from __future__ import annotations

import pytest

from llm_export.pipeline.child_errors import reason_of


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("noise\nerror: 9 tokens do not fit\n  fix:   fewer\n", "9 tokens do not fit"),
        ("Traceback\n  File x\nKeyError: 3\n", "KeyError: 3"),
        (" \n", "no message"),
    ],
)
def test_the_reason_is_the_error(stderr: str, reason: str) -> None:
    assert reason_of(stderr) == reason
