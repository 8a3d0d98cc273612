"""Parse the languages of generated projects."""

from __future__ import annotations

import pytest


def mistakes(language: str, text: str) -> list[str]:
    """What a grammar of kotlin or swift does not understand, by lines.

    Skips the test where the grammar is not installed.
    """
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip(f"tree_sitter_{language}")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    found, open_ = [], [parser.parse(text.encode()).root_node]
    while open_:
        node = open_.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(f"{node.start_point.row + 1}: {node.type} {node.text[:60]!r}")
        open_ += node.children if node.has_error else []
    return found
