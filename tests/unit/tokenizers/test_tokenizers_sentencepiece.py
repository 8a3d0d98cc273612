"""SentencePiece models give the ids of sentencepiece itself, in Python and in C++."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer
from vocabularies import sentencepiece_model

from llm_export.checkpoints.meta import MetaCheckpoint
from llm_export.checkpoints.safetensors import SafetensorsCheckpoint
from llm_export.errors import CheckpointError, VerificationError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import check_conversion, compare_with_cpp
from llm_export.tokenizers.folder import read_tokenizer
from llm_export.tokenizers.gguf import tokenizer_from_metadata

GEMMA: dict[str, Any] = {
    "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
    "user_defined_symbols": [
        "<start_of_turn>", "<end_of_turn>", "\n\n", "\n\n\n", *("▁" * n for n in range(2, 9)),
    ],
}  # fmt: skip
MISTRAL: dict[str, Any] = {
    "control_symbols": ["[INST]", "[/INST]"], "user_defined_symbols": ["[REF]", "[/REF]", "▁<FIM>"]
}  # fmt: skip
T5: dict[str, Any] = {"normalization_rule_name": "nmt_nfkc"}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "no bytes": {"byte_fallback": False, "vocab_size": 400},
    "tidied spaces": {"remove_extra_whitespaces": True},
    "unigram": {"model_type": "unigram"},
    "unigram, mistral": {**MISTRAL, "model_type": "unigram"},
    "unigram, no bytes": {"model_type": "unigram", "byte_fallback": False, "vocab_size": 400},
}
PIECES = st.sampled_from(
    ["the ", "and", " ", "  ", "   ", "\n", "\n\n\n", "\t", "[REF]", "[/REF]", " <FIM>", "[INST]",
     "<start_of_turn>", "<end_of_turn>", "<s>", "</s>", "é", "e\u0301", "１", "42"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=12).map("".join)


@pytest.fixture(scope="module", params=MODELS)
def assets(request: pytest.FixtureRequest, tmp_path_factory: Any) -> TokenizerAssets:
    folder = tmp_path_factory.mktemp("model")
    sentencepiece_model(folder / "tokenizer.model", **MODELS[request.param])
    return read_tokenizer(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: Any) -> bytes:
    return sentencepiece_model(tmp_path_factory.mktemp("llama") / "tokenizer.model").read_bytes()


@pytest.fixture
def folder(tmp_path: Path, llama: bytes) -> Path:
    (tmp_path / "tokenizer.model").write_bytes(llama)
    return tmp_path


def ids(assets: TokenizerAssets, text: str) -> list[int]:
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def changed(file: Path, change: Any) -> None:
    # Its members are made when it is imported.
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(file.read_bytes())
    change(proto)
    file.write_bytes(proto.SerializeToString())


def test_the_corpus_gives_the_ids_of_sentencepiece(assets: TokenizerAssets) -> None:
    assert assets.source is not None
    assert assets.source.library == "sentencepiece"
    check_conversion(assets)


def test_random_text_gives_the_ids_of_sentencepiece(assets: TokenizerAssets) -> None:
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(TEXTS)
    def same(text: str) -> None:
        assert assets.source is not None
        encoded = tokenizer.encode(text, add_special_tokens=False)
        assert encoded.ids == assets.source.encode(text)

    same()


@pytest.mark.parametrize("kind", ["llama", "gemma", "mistral", "tidied spaces"])
def test_phones_give_the_same_ids(kind: str, tmp_path: Path) -> None:
    sentencepiece_model(tmp_path / "tokenizer.model", **MODELS[kind])
    compare_with_cpp(read_tokenizer(tmp_path))


def test_phones_cannot_take_unigram(tmp_path: Path) -> None:
    sentencepiece_model(tmp_path / "tokenizer.model", model_type="unigram")
    with pytest.raises(VerificationError, match="Unsupported model type: Unigram"):
        compare_with_cpp(read_tokenizer(tmp_path))


def test_a_conversion_that_is_not_exact_is_refused(tmp_path: Path) -> None:
    """tokenizers applies a model's own table of characters to whole graphemes only."""
    sentencepiece_model(tmp_path / "tokenizer.model", **T5)
    with pytest.raises(CheckpointError) as caught:
        check_conversion(read_tokenizer(tmp_path))
    said = str(caught.value)
    assert "the conversion to tokenizer.json differs from the checkpoint's on " in said
    assert "'café vs cafe\u0301" in said or "café vs" in said
    assert "sentencepiece: " in said


def test_text_survives_encoding_and_decoding(folder: Path) -> None:
    assets = read_tokenizer(folder)
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    for text in ("The cat sat.", " two  spaces ", "naïve 漢字 🙂\n\tcode"):
        assert tokenizer.decode(ids(assets, text)) == text


def test_llamas_special_ids(folder: Path) -> None:
    assets = read_tokenizer(folder)
    assert (assets.bos_id, assets.eos_ids, assets.add_bos) == (1, (2,), True)
    assert assets.special_tokens == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert assets.chat_template is None
    assert ids(assets, "<s>a</s>")[0] == 1
    assert ids(assets, "<s>a</s>")[-1] == 2


def test_gemmas_end_of_turn_ends_a_generation(tmp_path: Path) -> None:
    sentencepiece_model(tmp_path / "tokenizer.model", **GEMMA)
    assets = read_tokenizer(tmp_path)
    turn = Tokenizer.from_str(assets.tokenizer_json).token_to_id("<end_of_turn>")
    assert (assets.bos_id, assets.eos_ids) == (2, (1, turn))


def test_files_beside_the_model_go_first(folder: Path) -> None:
    added = {"600": {"content": "<|end|>", "special": True, "rstrip": True}}
    config = {"add_bos_token": False, "eos_token": "<|end|>", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 600]}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assets = read_tokenizer(folder)
    assert (assets.eos_ids, assets.add_bos) == ((2, 600), False)
    assert assets.special_tokens["eos_token"] == "<|end|>"
    assert assets.chat_template == "{{ messages }}"
    assert assets.source is not None
    for text in ("a<|end|>\n b", "<|end|><|end|>", "x <|end|>   "):
        assert ids(assets, text) == assets.source.encode(text)


def test_runs_of_spaces_from_gguf_are_sentencepieces(folder: Path) -> None:
    """Llama's runs of spaces all have one score; the order of their merges is not by id."""

    def add_runs(proto: Any) -> None:
        template = next(p for p in proto.pieces if p.piece == "▁")
        template.score = -1e9
        for length in (16, 2, 3, 4, 5, 14, 12, 8):
            run = next((p for p in proto.pieces if p.piece == "▁" * length), None)
            run = run or proto.pieces.add(piece="▁" * length)
            run.score, run.type = -1e9, 1

    changed(folder / "tokenizer.model", add_runs)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    everything = range(reference.piece_size())
    kinds = [2 if reference.is_unknown(i) else 3 if reference.is_control(i) else
             6 if reference.is_byte(i) else 1 for i in everything]  # fmt: skip
    meta = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [reference.id_to_piece(i) for i in everything],
        "tokenizer.ggml.scores": [reference.get_score(i) for i in everything],
        "tokenizer.ggml.token_type": kinds,
    }
    from_gguf, from_model = tokenizer_from_metadata(meta, "x.gguf"), read_tokenizer(folder)
    for length in range(40):
        expected = reference.encode_as_ids("a" + " " * length)
        assert ids(from_gguf, "a" + " " * length) == expected
        assert ids(from_model, "a" + " " * length) == expected


def test_both_kinds_of_folders_read_it(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / "consolidated.00.pth")
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    meta, hf = MetaCheckpoint([folder / "consolidated.00.pth"]), SafetensorsCheckpoint(folder)
    assert meta.tokenizer() == hf.tokenizer() == read_tokenizer(folder)


def test_tokenizer_json_goes_before_tokenizer_model(folder: Path) -> None:
    text = read_tokenizer(folder).tokenizer_json
    (folder / "tokenizer.json").write_text(text)
    assert read_tokenizer(folder).source is None


# -- damage --------------------------------------------------------------------------------


def test_a_folder_without_any_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("part", [0.3, 0.61, 0.999])
def test_a_truncated_model(folder: Path, llama: bytes, part: float) -> None:
    (folder / "tokenizer.model").write_bytes(llama[: int(len(llama) * part)])
    with pytest.raises(CheckpointError, match="SentencePiece model is truncated or damaged"):
        read_tokenizer(folder)


def test_a_model_cut_between_two_pieces(folder: Path) -> None:
    changed(folder / "tokenizer.model", lambda p: (p.ClearField("trainer_spec"),
                                                   p.ClearField("normalizer_spec")))  # fmt: skip
    with pytest.raises(CheckpointError, match="its settings are missing"):
        read_tokenizer(folder)


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b"\x80\x02}q\x00", "fetch it again"),
        (b"version https://git-lfs.github.com", "git lfs pull"),
    ],
)
def test_a_file_of_neither_kind(tmp_path: Path, content: bytes, fix: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"(?s)neither a SentencePiece model nor.*{fix}"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"model_type": "char", "vocab_size": 400}, "a model type other than BPE and Unigram"),
     ({"treat_whitespace_as_suffix": True}, "spaces at the end of words")],
)  # fmt: skip
def test_what_is_not_supported(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    sentencepiece_model(tmp_path / "tokenizer.model", **settings)
    with pytest.raises(CheckpointError, match=words):
        read_tokenizer(tmp_path)


def test_an_end_id_beyond_the_vocabulary(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": 32000}')
    with pytest.raises(CheckpointError, match=r"end-of-sequence id 32000 is beyond .* of 600"):
        read_tokenizer(folder)


@pytest.mark.parametrize(
    ("added", "words"),
    [({"<|x|>": 700}, "'<|x|>' cannot have id 700: the ids before it are not all there"),
     ({"<|x|>": 5}, "'<|x|>' cannot have id 5: that id is '<0x02>'")],
)  # fmt: skip
def test_an_added_token_that_does_not_fit(folder: Path, added: Any, words: str) -> None:
    (folder / "added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    assert words in str(caught.value)


def test_a_begin_token_of_another_vocabulary(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<|begin|>"}')
    with pytest.raises(CheckpointError, match=r"bos_token '<\|begin\|>' is not in the vocabulary"):
        read_tokenizer(folder)
