"""The tokenizer gate fails on a tokenizer that differs, and on one that C++ cannot take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_export.checkpoints.base import TokenizerAssets
from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.errors import VerificationError
from llm_export.stages.tokenizer_check import compare_tokenizers
from runtime_py.tokenizer import TextTokenizer


def bundled(folder: Path, text: str) -> tuple[TextTokenizer, Path]:
    file = folder / "tokenizer.json"
    file.write_text(text)
    return TextTokenizer(file, bos_id=None, eos_ids=(), add_bos=False), file


@pytest.fixture
def source() -> TokenizerAssets:
    return RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()


def test_equal_tokenizers_pass(tmp_path: Path, source: TokenizerAssets) -> None:
    result = compare_tokenizers(source, *bundled(tmp_path, source.tokenizer_json))
    assert result["equal"]
    assert result["strings"] > 35
    assert result["ids"] > 1000


def test_another_vocabulary_fails(tmp_path: Path, source: TokenizerAssets) -> None:
    body = json.loads(source.tokenizer_json)
    vocab = body["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    with pytest.raises(VerificationError, match="the runtime tokenizer differs"):
        compare_tokenizers(source, *bundled(tmp_path, json.dumps(body)))


def test_special_tokens_that_are_not_special_fail(tmp_path: Path, source: TokenizerAssets) -> None:
    body = json.loads(source.tokenizer_json)
    body["added_tokens"] = []
    with pytest.raises(VerificationError, match="differs"):
        compare_tokenizers(source, *bundled(tmp_path, json.dumps(body)))


def test_a_file_that_cpp_cannot_read_fails(tmp_path: Path, source: TokenizerAssets) -> None:
    tokenizer, file = bundled(tmp_path, source.tokenizer_json)
    file.write_text("{}")
    with pytest.raises(VerificationError, match=r"C\+\+ tokenizer, which apps use, cannot take"):
        compare_tokenizers(source, tokenizer, file)
