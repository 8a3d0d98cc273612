"""Text is folded at spaces, and what may be copied stays whole."""

from __future__ import annotations

from llm_export.folding import folded


def test_lines_are_folded_at_spaces_and_keep_their_indentation() -> None:
    text = "a line that is too long\n    code(x, y) + 1234567\nshort"
    assert folded(text, 14, 2).split("\n") == [
        "a line that is", "  too long", "    code(x, y)", "      +", "      1234567", "short",
    ]  # fmt: skip


def test_a_path_is_never_broken() -> None:
    path = "/a/folder-of-mine/that/is-long"
    assert folded(f"in {path}", 10).split("\n") == ["in", path]
