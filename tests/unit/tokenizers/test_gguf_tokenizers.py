"""Tokenizers of GGUF files against the libraries that made the vocabularies."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import regex
import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, trainers
from transformers import GemmaTokenizer

from llm_export.errors import CheckpointError
from llm_export.tokenizers.gguf import tokenizer_from_metadata
from llm_export.tokenizers.gguf_pretokenizers import PRE_TOKENIZERS, WHOLE_WORDS

DATA = resources.files("llm_export.data")
CORPUS: list[str] = json.loads((DATA / "tokenizer_corpus.json").read_text(encoding="utf-8"))
ENGLISH = (DATA / "english.txt").read_text(encoding="utf-8").splitlines()
# Special tokens in a text are read as such, which the library of the vocabulary never does.
TEXTS = [regex.sub("<(s|/s|unk)>", "", text) for text in CORPUS]
TEXTS += ["  two", "a   b", " ", "", "don't STOP'RE HelloWorld 12345 ½", "x\r\n\r\n  y\t\tz  "]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def trained(**options: Any) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(ENGLISH), model_writer=model, model_type="bpe", vocab_size=600,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2, **options,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def metadata(p: sentencepiece.SentencePieceProcessor, own: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the converter writes of a SentencePiece model."""
    tokens, types = [], []
    for i in range(p.vocab_size()):
        piece = p.id_to_piece(i)
        kind = UNKNOWN if p.is_unknown(i) else CONTROL if p.is_control(i) else NORMAL
        kind = BYTE if p.is_byte(i) else USER_DEFINED if piece in own else kind
        tokens.append(piece.replace("▁", " ") if kind == USER_DEFINED else piece)
        types.append(kind)
    return {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": [p.get_score(i) for i in range(p.vocab_size())],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }  # fmt: skip


def read(meta: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(tokenizer_from_metadata(meta, "here").tokenizer_json)


def test_sentencepiece_with_a_prefix_as_llama_has_it() -> None:
    processor = trained(split_digits=True)
    tokenizer = read(metadata(processor))
    for text in TEXTS:
        ids = processor.encode(text)
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids, text
        assert tokenizer.decode(ids) == processor.decode(ids)
    assert sum(len(processor.encode(t)) < len(t.encode()) for t in TEXTS) > 5  # merges happen


def test_sentencepiece_with_pieces_of_its_own_as_gemma_has_it() -> None:
    own = ("▁▁", "▁▁▁", "<tag>", "\n\n")
    processor = trained(add_dummy_prefix=False, user_defined_symbols=list(own))
    meta = metadata(processor, own) | {"tokenizer.ggml.add_space_prefix": False}
    tokenizer = read(meta)
    # Runs are stored as spaces, so runs that a text writes with the escape itself are not found.
    texts = [text for text in TEXTS if "▁▁" not in text]
    for text in [*texts, "a<tag>b", "x     y\n\n\nz", "<tag>  <tag>"]:
        ids = processor.encode(text)
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids, text
        assert tokenizer.decode(ids) == processor.decode(ids)


def test_vocabularies_that_cannot_be_rebuilt() -> None:
    meta = metadata(trained())
    flat = meta | {"tokenizer.ggml.scores": [-1000.0] * 600}
    escaped = meta | {
        "tokenizer.ggml.token_type": [
            USER_DEFINED if t == "▁the" else k
            for t, k in zip(
                meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"], strict=True
            )
        ]
    }
    unscored = {k: v for k, v in meta.items() if k != "tokenizer.ggml.scores"}
    mapped = meta | {"tokenizer.ggml.precompiled_charsmap": [1, 2]}
    for bad, words in (
        (flat, "do not rank its pieces"),
        (escaped, "user-defined piece '▁the' holds escaped spaces"),
        (unscored, r"lacks 'tokenizer\.ggml\.scores'"),
        (mapped, "has 'precompiled_charsmap', which is not implemented"),
        (meta | {"tokenizer.ggml.model": "t5"}, "tokenizer model 't5' is not known"),
    ):
        with pytest.raises(CheckpointError, match=words):
            tokenizer_from_metadata(bad, "here")


def test_a_byte_level_vocabulary_of_every_split(tmp_path: Path) -> None:
    """Vocabulary and merges as a library trained them give that library's ids again."""
    for split in {id(s): s for s in PRE_TOKENIZERS.values()}.values():
        name = next(n for n, s in PRE_TOKENIZERS.items() if s is split)
        original = Tokenizer(models.BPE())
        original.pre_tokenizer = split()
        original.decoder = decoders.ByteLevel()
        alphabet = sorted(set(split().alphabet()) if hasattr(split(), "alphabet") else ())
        original.train_from_iterator(
            ENGLISH, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet,
                                         show_progress=False),
        )  # fmt: skip
        model = json.loads(original.to_str())["model"]
        tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
        meta = {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name,
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1] * len(tokens),
            "tokenizer.ggml.merges": [" ".join(m) for m in model["merges"]],
        }  # fmt: skip
        rebuilt = read(meta)
        for text in TEXTS:
            ids = original.encode(text).ids
            assert rebuilt.encode(text).ids == ids, (name, text)


# tiktoken's and tokenizer.json's own patterns, as published, by another regex engine.
CL100K = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""  # noqa: E501
O200K = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("llama-bpe", CL100K), ("qwen2", CL100K.replace("{1,3}", "")), ("gpt-4o", O200K),
     ("gpt-2", GPT2), ("smollm", GPT2.replace(r" ?\p{N}+", r"\p{N}"))],
)  # fmt: skip
def test_text_is_split_as_the_original_splits_it(name: str, pattern: str) -> None:
    split = PRE_TOKENIZERS[name]()
    for text in TEXTS:
        pieces = [text[a:b] for _, (a, b) in split.pre_tokenize_str(text)]
        expected = regex.findall(pattern, text)
        if name == "smollm":  # digits are cut out first, so a space before one stands alone
            parts = regex.split(r"(\p{N})", text)
            expected = [x for part in parts for x in regex.findall(pattern, part)]
        assert pieces == expected, text


def test_a_word_is_looked_up_whole_where_the_original_does() -> None:
    meta = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "c", "ab", "abc"],
        "tokenizer.ggml.token_type": [1] * 5, "tokenizer.ggml.merges": ["a b"],
    }  # fmt: skip
    assert {"llama-bpe", "tekken"} <= WHOLE_WORDS <= set(PRE_TOKENIZERS)
    for pre, tokens in (("llama-bpe", ["abc"]), ("qwen2", ["ab", "c"]), ("tekken", ["abc"])):
        rebuilt = read(meta | {"tokenizer.ggml.pre": pre})
        assert rebuilt.encode("abc").tokens == tokens
    unmerged = {k: v for k, v in meta.items() if k != "tokenizer.ggml.merges"}
    with pytest.raises(CheckpointError, match=r"lacks 'tokenizer\.ggml\.merges'"):
        tokenizer_from_metadata(unmerged | {"tokenizer.ggml.pre": "qwen2"}, "here")
    for named in ({}, {"tokenizer.ggml.pre": "default"}):
        with pytest.raises(CheckpointError, match="does not name the pre-tokenizer"):
            tokenizer_from_metadata(meta | named, "here")


def test_escaped_merges_as_gemma_4_has_them() -> None:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<turn|>"]
    runs = ["\n\n", "\n\n\n"]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    alphabet = sorted({c for line in ENGLISH for c in line.replace(" ", "▁")} | {"\n", "\t"})
    model = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=special + pieces + runs, initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    model.train_from_iterator([line.replace(" ", "▁") for line in ENGLISH], trainer)
    own = json.loads(model.to_str())["model"]
    tokens = sorted(own["vocab"], key=own["vocab"].__getitem__)
    types = dict.fromkeys(special, CONTROL) | dict.fromkeys(pieces, BYTE)
    meta = {
        "tokenizer.ggml.model": "gemma4", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [types.get(token, NORMAL) for token in tokens],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in own["merges"]],
        "tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3, "tokenizer.ggml.add_bos_token": False,
    }  # fmt: skip
    merges: Any = [tuple(merge) for merge in own["merges"]]
    original = GemmaTokenizer(vocab=own["vocab"], merges=merges)
    original.add_tokens([AddedToken(run, normalized=False) for run in (*runs, "<turn|>")])
    rebuilt = read(meta)
    for text in [*TEXTS, "a\n\n\n\n b\n\nc \n\n", "<turn|>  x<eos>"]:
        expected = original(text, add_special_tokens=False)["input_ids"]
        assert rebuilt.encode(text, add_special_tokens=False).ids == expected, text
        assert rebuilt.decode(expected, skip_special_tokens=False) == text.replace("▁", " ")
    assets = tokenizer_from_metadata(meta, "here")
    assert assets.add_bos  # whatever the file says, as llama.cpp has it
    assert assets.eos_ids == (1, 5)
    with pytest.raises(CheckpointError, match="merges of the GGUF file are not of its vocabulary"):
        read(meta | {"tokenizer.ggml.merges": ["ж ж"]})
