"""Tiktoken rank files give the ids of tiktoken with the publisher's split."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from vocabularies import english, tiktoken_file

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import check_conversion, compare_with_cpp
from llm_export.tokenizers.conversion import with_settings
from llm_export.tokenizers.folder import read_tokenizer
from llm_export.tokenizers.special_tokens import read_settings
from llm_export.tokenizers.tiktoken import read_tiktoken
from llm_export.tokenizers.tiktoken_formats import LAYOUTS, LLAMA3, LLAMA4, QWEN1, Layout

PIECES = st.sampled_from(
    ["the ", "ing", " ", "   ", "\n", "\r\n\n", "\t", "'ll", "12345", "<|eot_id|>", "<|im_end|>",
     "<|begin_of_text|>", "é", "e\u0301", "Ａ", "\u00a0", "\u1100\u1161\u11a8"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=12).map("".join)


def small(folder: Path, layout: Layout, count: int = 900) -> TokenizerAssets:
    path = tiktoken_file(folder / "tokenizer.model", count)
    return with_settings(read_tiktoken(path, layout), read_settings(folder), str(path))


@pytest.fixture(scope="module", params=["LLAMA3", "LLAMA4", "QWEN1"])
def assets(request: pytest.FixtureRequest, tmp_path_factory: Any) -> TokenizerAssets:
    layout = {"LLAMA3": LLAMA3, "LLAMA4": LLAMA4, "QWEN1": QWEN1}[request.param]
    return small(tmp_path_factory.mktemp("tiktoken"), layout)


def test_the_corpus_gives_the_ids_of_tiktoken(assets: TokenizerAssets) -> None:
    assert assets.source is not None
    assert assets.source.library == "tiktoken"
    check_conversion(assets)
    # Merging took place: English text has fewer tokens than bytes.
    assert len(assets.source.encode(english())) < 0.6 * len(english().encode())


def test_random_text_gives_the_ids_of_tiktoken(assets: TokenizerAssets) -> None:
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(TEXTS)
    def same(text: str) -> None:
        assert assets.source is not None
        encoded = tokenizer.encode(text, add_special_tokens=False)
        assert encoded.ids == assets.source.encode(text)
        assert tokenizer.decode(encoded.ids, skip_special_tokens=False) in (
            text, tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text,
        )  # fmt: skip

    same()


@pytest.mark.parametrize("layout", [LLAMA3, LLAMA4, QWEN1], ids=lambda layout: layout.name)
def test_phones_give_the_same_ids(layout: Layout, tmp_path: Path) -> None:
    compare_with_cpp(small(tmp_path, layout))


def test_metas_folder(tmp_path: Path) -> None:
    """A file of Llama 3's size is told by its content and gets Meta's special tokens."""
    tiktoken_file(tmp_path / "tokenizer.model", 128_000)
    assets = read_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    assert tokenizer.get_vocab_size() == 128_256
    # The ids of Meta's published models.
    assert (assets.bos_id, assets.eos_ids, assets.add_bos) == (128_000, (128_001, 128_008, 128_009),
                                                               True)  # fmt: skip
    for text, i in (("<|finetune_right_pad_id|>", 128_004), ("<|start_header_id|>", 128_006),
                    ("<|end_header_id|>", 128_007), ("<|python_tag|>", 128_010),
                    ("<|reserved_special_token_2|>", 128_012),
                    ("<|reserved_special_token_245|>", 128_255)):  # fmt: skip
        assert tokenizer.token_to_id(text) == i
    assert assets.chat_template is None
    assert assets.special_tokens["eos_token"] == "<|end_of_text|>"
    assert assets.source is not None
    prompt = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello 12345<|eot_id|>"
    assert tokenizer.encode(prompt).ids == assets.source.encode(prompt)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"}))
    assert read_settings(tmp_path).templates.default == "{{ x }}"


def test_the_numbers_of_special_tokens_are_the_publishers() -> None:
    assert {n: n + len(layout.special_tokens) for n, layout in LAYOUTS.items()} == {
        128_000: 128_256, 200_000: 202_048, 151_643: 151_851,
    }  # fmt: skip
    for layout in LAYOUTS.values():
        assert len(set(layout.special_tokens)) == len(layout.special_tokens)
    # llama-models: 200005, ..., 200079 are of post-training, 200080, ... of vision.
    assert LLAMA4.special_tokens.index("<|header_start|>") == 5
    assert LLAMA4.special_tokens.index("<|image_start|>") == 80
    assert LLAMA4.special_tokens.index("<|reasoning_reserved_special_token_0|>") == 1134


# -- damage --------------------------------------------------------------------------------


def lines(count: int = 300) -> list[bytes]:
    tokens = [bytes([b]) for b in range(256)] + [b"a" + bytes([b]) for b in range(count - 256)]
    return [base64.b64encode(t) + b" %d\n" % i for i, t in enumerate(tokens)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"".join(lines())[:-7], "line 300 is not a base64 token and its rank"),
        (b"".join(lines())[:-2], "its ranks do not count from 0 without a gap"),
        (b"".join(lines()[:200]), "56 of the 256 single bytes have no token"),
        (b"".join(lines()), "a tiktoken file of 300 ranks is of no known model, or is truncated"),
        (b"".join(lines()), r"known numbers of ranks: 128000 \(Llama 3\)"),
        (b"".join([*lines()[:9], b"* 9\n", *lines()[10:]]), "line 10 is not"),
    ],
)
def test_a_damaged_file(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        read_tokenizer(tmp_path)
