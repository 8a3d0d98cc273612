"""The tokenizer gate fails on a tokenizer that differs, and on one that C++ cannot take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.errors import CheckpointError, VerificationError
from llm_export.tokenizers import pretokenizer_regexes as splits
from llm_export.tokenizers.base import SourceEncoder, TokenizerAssets
from llm_export.tokenizers.compare import (
    check_conversion,
    compare_tokenizers,
    compare_with_cpp,
)
from llm_export.tokenizers.cpp_compatible import to_cpp_compatible
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
    assert result.equal
    assert result.strings > 35
    assert result.ids > 1000


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


def test_a_difference_shows_texts_and_ids(tmp_path: Path, source: TokenizerAssets) -> None:
    body = json.loads(source.tokenizer_json)
    vocab = body["model"]["vocab"]
    vocab["H"], vocab["é"] = vocab["é"], vocab["H"]
    with pytest.raises(VerificationError) as caught:
        compare_tokenizers(source, *bundled(tmp_path, json.dumps(body)))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the runtime tokenizer differs from the checkpoint's on ")
    assert lines[1] == "  'Hello, world!', from token 0:"
    assert lines[2].startswith(f"    checkpoint: {vocab['é']}, ")
    assert lines[3].startswith(f"    runtime: {vocab['H']}, ")
    assert sum("from token" in line for line in lines) == 3


def test_a_conversion_is_held_against_the_original(source: TokenizerAssets) -> None:
    original = Tokenizer.from_str(source.tokenizer_json)

    def encode(text: str) -> list[int]:
        ids = original.encode(text, add_special_tokens=False).ids
        return [*ids, 7] if "capital of France" in text else list(ids)

    with pytest.raises(CheckpointError) as caught:
        check_conversion(replace(source, source=SourceEncoder("publisher", encode)))
    said = str(caught.value)
    assert "the conversion to tokenizer.json differs from the checkpoint's on 1 of " in said
    assert "publisher: 7\n" in said
    assert "tokenizer.json: (nothing more)" in said


# -- what phones take ----------------------------------------------------------------------


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": {"vocab"'])
def test_a_file_that_cpp_cannot_read_fails(
    tmp_path: Path, source: TokenizerAssets, content: str
) -> None:
    tokenizer, file = bundled(tmp_path, source.tokenizer_json)
    file.write_text(content)
    with pytest.raises(VerificationError, match=r"it is no whole tokenizer\.json"):
        compare_tokenizers(source, tokenizer, file)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("normalizer", normalizers.NFKC(), "Unsupported Normalizer type: NFKC"),
        ("pre_tokenizer", pre_tokenizers.Metaspace(), "Unsupported PreTokenizer type: Metaspace"),
        ("decoder", decoders.WordPiece(), "Unsupported TokenDecoder type: WordPiece"),
        ("pre_tokenizer", pre_tokenizers.Split(" ", "merged_with_next"), "'MergedWithNext'"),
        ("pre_tokenizer", pre_tokenizers.Split(Regex("(?~a)|."), "isolated"),
         "No available regex engine could compile the pattern"),
    ],
)  # fmt: skip
def test_what_cpp_does_not_support_is_named(
    source: TokenizerAssets, part: str, value: Any, reason: str
) -> None:
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    setattr(tokenizer, part, value)
    with pytest.raises(VerificationError) as caught:
        compare_with_cpp(replace(source, tokenizer_json=tokenizer.to_str()))
    said = str(caught.value)
    assert "C++ tokenizer cannot take this tokenizer, so TextLLMRunner would fail" in said
    assert reason in said
    assert "verify.tokenizer=false" in said


@pytest.mark.parametrize(
    "model", [models.Unigram([("?", -9.0)], 0), models.WordPiece({"?": 0}, unk_token="?")]
)
def test_a_model_other_than_bpe_is_named(source: TokenizerAssets, model: Any) -> None:
    unlike = replace(source, tokenizer_json=Tokenizer(model).to_str())
    with pytest.raises(VerificationError, match=r"Unsupported model type: (Unigram|WordPiece)"):
        compare_with_cpp(unlike)


def test_a_split_beyond_re2_is_on_record(tmp_path: Path, source: TokenizerAssets) -> None:
    plain = compare_tokenizers(source, *bundled(tmp_path, source.tokenizer_json))
    assert plain.needs_regex_lookahead is False
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(splits.LLAMA3), "isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )  # fmt: skip
    ahead = replace(source, tokenizer_json=tokenizer.to_str())
    result = compare_tokenizers(ahead, *bundled(tmp_path, ahead.tokenizer_json))
    assert result.needs_regex_lookahead is True


def with_normalizer(source: TokenizerAssets, normalizer: Any) -> TokenizerAssets:
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    tokenizer.normalizer = normalizer
    return replace(source, tokenizer_json=tokenizer.to_str())


@pytest.mark.parametrize(
    "normalizer",
    [normalizers.NFC(), normalizers.Sequence([normalizers.NFC(), normalizers.Replace("q", "Q")])],
)
def test_nfc_is_taken_out_for_phones(
    tmp_path: Path, source: TokenizerAssets, normalizer: Any
) -> None:
    composed = with_normalizer(source, normalizer)
    compare_with_cpp(composed)
    phone = to_cpp_compatible(composed.tokenizer_json)
    assert phone.nfc
    assert "NFC" not in phone.text
    # As it is, the C++ code drops accents, and a runtime that is not told leaves NFD as it is.
    with pytest.raises(VerificationError, match=r"(?s)the C\+\+ tokenizer differs.*naïve café"):
        compare_tokenizers(composed, *bundled(tmp_path, composed.tokenizer_json))
    with pytest.raises(VerificationError, match="the runtime tokenizer differs"):
        compare_tokenizers(composed, *bundled(tmp_path, phone.text))


def test_other_tokenizers_are_carried_as_they_are(source: TokenizerAssets) -> None:
    for other in (source, with_normalizer(source, normalizers.NFKC())):
        phone = to_cpp_compatible(other.tokenizer_json)
        assert (phone.text, phone.nfc) == (other.tokenizer_json, False)
