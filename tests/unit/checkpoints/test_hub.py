"""Which files of a hub repository are fetched."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from llm_export.checkpoints.hub import PATTERNS


@pytest.mark.parametrize(
    ("file", "fetched"),
    [
        ("model.safetensors", True), ("tokenizer.json", True), ("tokenizer.model", True),
        ("tokenizer.model.v3", True), ("qwen.tiktoken", True), ("chat_template.jinja", True),
        ("additional_chat_templates/tool_use.jinja", True), ("pytorch_model.bin", False),
        ("README.md", False), ("model.gguf", False),
    ],
)  # fmt: skip
def test_files_fetched_first(file: str, fetched: bool) -> None:
    assert any(fnmatch(file, pattern) for pattern in PATTERNS) is fetched
