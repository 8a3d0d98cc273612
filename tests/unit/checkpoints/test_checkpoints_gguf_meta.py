"""GGUF and Meta checkpoints: names, layouts, block types, tokenizers, and damage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import hf_models
import numpy as np
import pytest
import torch
from checkpoint_files import close, expected, logits, recipe_for, write_gguf, write_meta

from llm_export.checkpoints.base import describe_tensors
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError
from llm_export.models.load_model import load_model
from llm_export.tokenizers.gguf import tokenizer_from_metadata


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


# -- GGUF ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quant", "bar"),
    [
        ("F32", 1e-5),
        ("F16", 5e-3),
        ("BF16", 5e-2),
        ("Q8_0", 5e-2),
        ("Q5_0", 0.4),
        ("Q5_1", 0.4),
        ("Q4_0", 0.6),
        ("Q4_1", 0.6),
    ],
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


def kinds_with_blocks() -> list[str]:
    """Block types whose blocks the package can read."""
    known = []
    for kind, (values, size) in gguf.GGML_QUANT_SIZES.items():
        try:
            gguf.quants.dequantize(np.zeros((1, size), np.uint8), kind)
        except NotImplementedError:
            continue
        if values > 1:
            known.append(kind.name)
    return known


def write_blocks(path: Path, tensors: dict[str, tuple[np.ndarray, str]]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    for name, (array, kind) in tensors.items():
        writer.add_tensor(name, array, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", kinds_with_blocks())
def test_any_blocks_are_read_as_the_gguf_package_reads_them(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in steps that end inside the tensor, in one and in three dimensions."""
    values, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    rng = np.random.default_rng(0)
    blocks = {
        "flat": rng.integers(0, 256, (3 * size,), dtype=np.uint8),
        "matrix": rng.integers(0, 256, (7, 2 * size), dtype=np.uint8),
        "experts": rng.integers(0, 256, (2, 5, size), dtype=np.uint8),
    }
    file = write_blocks(tmp_path / "b.gguf", {n: (b, name) for n, b in blocks.items()})
    monkeypatch.setattr("llm_export.checkpoints.gguf._CHUNK_BYTES", 5 * size)
    checkpoint = open_checkpoint(CheckpointConfig(path=str(file)), {})
    read = dict(checkpoint.tensors())
    for key, block in blocks.items():
        with np.errstate(all="ignore"):
            want = gguf.quants.dequantize(block, gguf.GGMLQuantizationType[name])
        assert read[key].shape == (*block.shape[:-1], block.shape[-1] // size * values)
        assert np.array_equal(read[key].numpy(), want, equal_nan=True)
        assert describe_tensors(checkpoint)[key].dtype == name


def test_gguf_files_that_cannot_be_read(tmp_path: Path) -> None:
    blocks = np.zeros((4, 40), np.uint8)
    file = write_blocks(tmp_path / "q8_1.gguf", {"a.weight": (blocks, "Q8_1")})
    with pytest.raises(CheckpointError) as caught:
        list(open_checkpoint(CheckpointConfig(path=str(file)), {}).tensors())
    assert "'a.weight' has the block type Q8_1, which the gguf package cannot" in str(caught.value)

    def says(words: str, **options: Any) -> None:
        endian = options.pop("endianess", gguf.GGUFEndian.LITTLE)
        writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama", endianess=endian)
        for key, value in options.items():
            writer.add_uint16(key.replace("_", "."), value)
        writer.add_tensor("a", np.ones((2, 2), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(CheckpointError, match=words):
            open_checkpoint(CheckpointConfig(path=str(tmp_path / "x.gguf")), {}).names()

    says("the GGUF file is one of 3", split_count=3)
    says("of the other byte order", endianess=gguf.GGUFEndian.BIG)


def test_a_folder_with_one_gguf_file(reference: Any, tmp_path: Path) -> None:
    f32 = gguf.GGMLQuantizationType.F32
    write_gguf(tmp_path / "a.gguf", reference, f32)
    assert close(logits(CheckpointConfig(path=str(tmp_path))), expected(reference))
    (tmp_path / "b.gguf").write_bytes((tmp_path / "a.gguf").read_bytes())
    with pytest.raises(CheckpointError, match="the weights file is missing"):
        open_checkpoint(CheckpointConfig(path=str(tmp_path)), {})


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


COLUMN = ("wq", "wk", "wv", "w1", "w3", "output")
ROW = ("wo", "w2")


def split_meta(folder: Path, count: int, embedding_dim: int) -> None:
    """Exchange the one file by ``count`` of model-parallel ranks."""
    whole = torch.load(folder / "consolidated.00.pth", weights_only=True)
    whole["rope.freqs"] = torch.ones(8)
    for rank in range(count):
        part = {}
        for name, tensor in whole.items():
            key = name.split(".")[-2]
            dims = {**dict.fromkeys(COLUMN, 0), **dict.fromkeys(ROW, 1)}
            dims["tok_embeddings"] = embedding_dim
            # Cloned: torch.save would write the whole storage behind a view.
            part[name] = tensor.chunk(count, dims[key])[rank].clone() if key in dims else tensor
        torch.save(part, folder / f"consolidated.{rank:02d}.pth")


@pytest.mark.parametrize(("count", "embedding_dim"), [(2, 0), (2, 1), (4, 1)])
def test_meta_files_of_model_parallel_ranks(
    reference: Any, tmp_path: Path, count: int, embedding_dim: int
) -> None:
    """Llama 3 splits the embedding's rows, Llama 2 its columns."""
    folder = write_meta(tmp_path / "meta", reference)
    split_meta(folder, count, embedding_dim)
    want = expected(reference)
    assert close(logits(CheckpointConfig(path=str(folder))), want)
    assert close(logits(CheckpointConfig(path=str(folder / "consolidated.00.pth"))), want)
    checkpoint = open_checkpoint(CheckpointConfig(path=str(folder)), {})
    assert len(checkpoint.files) == count
    assert {n: i.shape for n, i in describe_tensors(checkpoint).items()} == {
        n: tuple(t.shape) for n, t in checkpoint.tensors()
    }


def test_meta_files_that_do_not_belong_together(reference: Any, tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "meta", reference)
    source = CheckpointConfig(path=str(folder))
    recipe = recipe_for(source)
    split_meta(folder, 4, 1)

    def says(words: str) -> None:
        with pytest.raises(CheckpointError) as caught:
            logits(source, recipe)
        assert words in str(caught.value)

    second, last = folder / "consolidated.01.pth", folder / "consolidated.03.pth"
    kept = second.read_bytes(), last.read_bytes()
    second.unlink()
    says("consolidated.01.pth is missing; the last one is consolidated.03.pth")
    second.write_bytes(kept[0])
    last.unlink()
    says("'tok_embeddings.weight' has parts of shape (320, 16) in 3 files; with dim=64 they fit")
    last.write_bytes(kept[1][: len(kept[1]) // 2])
    says("not a whole, safe torch file")
    part = torch.load(second, weights_only=True)

    def second_with(**change: Any) -> None:
        torch.save({**part, **change}, second)
        last.write_bytes(kept[1])

    second_with(**{"norm.weight": part["norm.weight"] + 1})
    says("'norm.weight' differs between files that should hold the same")
    second_with(extra=torch.ones(1))
    says("the files hold different tensors: extra")
    second_with(**{"output.weight": part["output.weight"][:-1].clone()})
    says("the parts of 'output.weight' have different shapes: [(79, 64), (80, 64)]")


def test_missing_ranks_of_a_split_vocabulary(reference: Any, tmp_path: Path) -> None:
    """The embedding's parts alone do not tell; those of the query matrices do."""
    folder = write_meta(tmp_path / "meta", reference)
    source = CheckpointConfig(path=str(folder))
    recipe = recipe_for(source)
    split_meta(folder, 4, 0)
    (folder / "consolidated.03.pth").unlink()
    with pytest.raises(CheckpointError, match=r"attention\.wq.weight' has parts of .* in 3 files"):
        logits(source, recipe)
