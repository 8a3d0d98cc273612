"""GGUF and Meta checkpoints: names, layouts, block types, tokenizers, and damage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import hf_models
import pytest
import torch
from checkpoint_files import close, expected, logits, recipe_for, write_gguf, write_meta

from llm_export.checkpoints.gguf_tokenizer import tokenizer_from_metadata
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError
from llm_export.models.load import load_model


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


# -- GGUF ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quant", "bar"),
    [("F32", 1e-5), ("F16", 5e-3), ("BF16", 5e-2), ("Q8_0", 5e-2), ("Q4_0", 0.6), ("Q4_1", 0.6)],
)
def test_gguf_block_types(reference: Any, tmp_path: Path, quant: str, bar: float) -> None:
    kind = gguf.GGMLQuantizationType[quant]
    file = write_gguf(tmp_path / "m.gguf", reference, kind)
    assert close(logits(CheckpointConfig(path=str(file))), expected(reference), bar)


def test_gguf_damage_and_other_kinds(reference: Any, tmp_path: Path) -> None:
    f32 = gguf.GGMLQuantizationType.F32
    file = write_gguf(tmp_path / "m.gguf", reference, f32)
    recipe = recipe_for(CheckpointConfig(path=str(file)))
    whole = file.read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in (len(whole) - 5000, len(whole) // 2, 200, 20):
        cut.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            logits(CheckpointConfig(path=str(cut)), recipe)
    cut.write_bytes(b"PK\x03\x04" + whole)
    with pytest.raises(CheckpointError, match="not a GGUF file"):
        logits(CheckpointConfig(path=str(cut)), recipe)
    other = write_gguf(tmp_path / "gemma.gguf", reference, f32, arch="gemma")
    with pytest.raises(CheckpointError, match="another architecture: 'gemma', not 'llama'"):
        logits(CheckpointConfig(path=str(other)), recipe)
    strange = write_gguf(tmp_path / "pre.gguf", reference, f32, pre="viking")
    loaded = load_model(replace(recipe, checkpoint=CheckpointConfig(path=str(strange))),
                        attention="plain", context_length=64, all_logits=False)  # fmt: skip
    with pytest.raises(CheckpointError, match="pre-tokenizer 'viking' is not known"):
        loaded.checkpoint.tokenizer()


def test_the_gguf_tokenizer_splits_digits_as_smollm_does() -> None:
    alphabet = sorted({*"0123456789abcĠ"})
    tokens = ["<|end|>", *alphabet, "12", "ab"]
    meta = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [3] + [1] * (len(tokens) - 1),
        "tokenizer.ggml.merges": ["1 2", "a b"], "tokenizer.ggml.eos_token_id": 0,
    }  # fmt: skip
    from tokenizers import Tokenizer

    def ids(pre: str, text: str) -> list[str]:
        assets = tokenizer_from_metadata({**meta, "tokenizer.ggml.pre": pre}, "here")
        tokenizer = Tokenizer.from_str(assets.tokenizer_json)
        return tokenizer.encode(text, add_special_tokens=False).tokens

    assert ids("smollm", "ab 12<|end|>") == ["ab", "Ġ", "1", "2", "<|end|>"]
    assert ids("gpt-2", "ab 12") == ["ab", "Ġ", "12"]
    bos = {**meta, "tokenizer.ggml.bos_token_id": 0}
    assert not tokenizer_from_metadata(bos, "here").add_bos
    llama3 = {**bos, "tokenizer.ggml.pre": "llama-bpe"}
    assert tokenizer_from_metadata(llama3, "here").add_bos
    stated = {**llama3, "tokenizer.ggml.add_bos_token": False}
    assert not tokenizer_from_metadata(stated, "here").add_bos
    with pytest.raises(CheckpointError, match="tokenizer model 'bert' is not known"):
        tokenizer_from_metadata({**meta, "tokenizer.ggml.model": "bert"}, "here")


def test_a_sentencepiece_vocabulary_merges_by_score() -> None:
    from tokenizers import Tokenizer

    tokens = ["<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "ab", "▁ab"]
    meta = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [2, 3, 3, 6, 6, 1, 1, 1, 1, 1],
        "tokenizer.ggml.scores": [0.0, 0, 0, 0, 0, -9, -8, -7, -1, -2],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }  # fmt: skip
    assets = tokenizer_from_metadata(meta, "here")
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    encoded = tokenizer.encode("ab abé", add_special_tokens=False)
    assert encoded.tokens == ["▁ab", "▁ab", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(encoded.ids) == "ab abé"
    assert assets.add_bos
    assert assets.bos_id == 1


# -- Meta ----------------------------------------------------------------------------------


def test_meta_checkpoints(reference: Any, tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "meta", reference)
    assert close(logits(CheckpointConfig(path=str(folder))), expected(reference))
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps({**params, "use_scaled_rope": True}))
    with pytest.raises(CheckpointError, match="and not by which factor"):
        logits(CheckpointConfig(path=str(folder)))
    (folder / "params.json").write_text("{}")
    with pytest.raises(CheckpointError, match="config lacks 'dim'"):
        logits(CheckpointConfig(path=str(folder)))


def test_a_pickle_is_refused(reference: Any, tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "meta", reference)
    recipe = recipe_for(CheckpointConfig(path=str(folder)))
    torch.save({"x": Path("/")}, folder / "consolidated.00.pth")
    with pytest.raises(CheckpointError, match="not a whole, safe torch file"):
        logits(CheckpointConfig(path=str(folder)), recipe)
    (folder / "consolidated.00.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CheckpointError, match="not a whole, safe torch file"):
        logits(CheckpointConfig(path=str(folder)), recipe)
