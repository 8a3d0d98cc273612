"""Answers beside the float model's."""

from __future__ import annotations

import pytest

from llm_export.report.page.answers import _shown


@pytest.mark.parametrize(
    ("answer", "reference", "at", "common", "rests", "parted"),
    [
        ("It rains today", "It snows today", 2, "It ", ("rains today", "snows today"),
         "the same for 2 tokens"),
        ("the same", "the same", None, "the same", ("", ""), "the same"),
        ("It rains", "It rains often", 3, "It rains", ("", " often"), "the same for 3 tokens"),
        ("Yes", "No", 0, "", ("Yes", "No"), "another answer"),
        ("Yes", "No", None, "", ("Yes", "No"), "another answer"),
        ("alone", None, None, "", ("alone", None), ""),
    ],
)  # fmt: skip
def test_what_both_say_is_told_from_what_each_says(
    answer: str, reference: str | None, at: int | None, common: str,
    rests: tuple[str, str | None], parted: str,
) -> None:  # fmt: skip
    each = {"question": "?", "answer": answer, "parts_at": at}
    found = _shown(each if reference is None else {**each, "reference": reference})
    assert (found.common, (found.answer, found.reference), found.parted) == (common, rests, parted)
