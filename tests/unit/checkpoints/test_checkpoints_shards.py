"""Hugging Face .bin files and shards, torchao's safetensors, and each kind of damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from checkpoint_files import close, expected, logits, recipe_for_config
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llm_export.checkpoints.base import describe_tensors
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError

INDEX = "pytorch_model.bin.index.json"


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


def save_bin(reference: Any, folder: Path, shards: int = 1) -> Path:
    """As transformers saved before version 5, which writes safetensors only."""
    hf_models.save(reference, folder)
    (folder / "model.safetensors").unlink()
    names = list(reference.state_dict())
    table: dict[str, str] = {}
    for i in range(shards):
        file = "pytorch_model.bin"
        if shards > 1:
            file = f"pytorch_model-{i + 1:05d}-of-{shards:05d}.bin"
        part = {n: reference.state_dict()[n] for n in names[i::shards]}
        torch.save(part, folder / file)
        table |= dict.fromkeys(part, file)
    if shards > 1:
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return folder


def config_of(folder: Path) -> CheckpointConfig:
    return CheckpointConfig(path=str(folder))


# -- .bin ----------------------------------------------------------------------------------


def test_bin_single_sharded_and_file_agree(reference: Any, tmp_path: Path) -> None:
    single = save_bin(reference, tmp_path / "single")
    sharded = save_bin(reference, tmp_path / "sharded", shards=3)
    for path in (single, single / "pytorch_model.bin", sharded, sharded / INDEX):
        assert close(logits(config_of(path)), expected(reference))


def test_views_and_shared_storages_are_read_as_they_are(tmp_path: Path) -> None:
    base = torch.randn(6, 8)
    file = tmp_path / "pytorch_model.bin"
    stored = {"t": base.t(), "rows": base[2:4], "columns": base[:, 3:5], "whole": base,
              "scalar": torch.tensor(3.0), "none": torch.empty(0, 4),
              "half": torch.randn(5).bfloat16(),
              "parameter": torch.nn.Parameter(torch.ones(2))}  # fmt: skip
    torch.save({**stored, "step": 3}, file)
    read = dict(open_checkpoint(config_of(file), {}).tensors())
    assert set(read) == set(stored)
    for name, tensor in stored.items():
        assert torch.equal(read[name], tensor), name
        assert read[name].dtype == tensor.dtype


def test_bin_damage(reference: Any, tmp_path: Path) -> None:
    folder = save_bin(reference, tmp_path / "b", shards=3)
    recipe = recipe_for_config(folder)
    shard = sorted(folder.glob("*.bin"))[1]
    whole = shard.read_bytes()

    def says(words: str) -> None:
        with pytest.raises(CheckpointError) as caught:
            logits(config_of(folder), recipe)
        assert words in str(caught.value)
        assert str(folder) in (caught.value.where or "")

    shard.write_bytes(whole[: len(whole) // 2])
    says("not a whole, safe torch file")
    torch.save({"x": Path("/")}, shard)
    says("not a whole, safe torch file")
    torch.save({"nested": {"a": torch.ones(1)}}, shard)
    says("the torch file holds no tensors by name")
    torch.save({"a": torch.ones(1)}, shard, _use_new_zipfile_serialization=False)
    says("the format of torch before 1.6")
    shard.unlink()
    says("a shard that the index names is missing")


def test_an_unsafe_pickle_does_not_run(reference: Any, tmp_path: Path) -> None:
    folder = save_bin(reference, tmp_path / "b")
    witness = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(witness),)

    (folder / "params.json").write_text("{}")
    for file in (folder / "pytorch_model.bin", folder / "consolidated.00.pth"):
        torch.save({"lm_head.weight": Payload()}, file)
        with pytest.raises(CheckpointError, match="not a whole, safe torch file"):
            list(open_checkpoint(config_of(file), {}).tensors())
        assert not witness.exists()


@pytest.mark.parametrize("both", [False, True])
def test_the_hub_is_asked_for_bin_files_only_where_it_has_no_others(
    reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    """The hub's own filter of file names, on a folder in place of the network."""
    import shutil

    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    repository = save_bin(reference, tmp_path / "repository", shards=2)
    if both:
        hf_models.save(reference, repository)
    (repository / "model.onnx").write_bytes(b"x")
    fetched = tmp_path / "fetched"
    fetched.mkdir()

    def download(hf_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        names = [p.name for p in repository.iterdir()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            shutil.copy(repository / name, fetched / name)
        return str(fetched)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert close(logits(CheckpointConfig(hf_id="org/old")), expected(reference))
    assert bool(list(fetched.glob("*.bin"))) is not both
    assert not (fetched / "model.onnx").exists()


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_an_index_that_lies(reference: Any, tmp_path: Path, kind: str) -> None:
    if kind == "bin":
        folder, index = save_bin(reference, tmp_path / "s", shards=3), INDEX
    else:
        folder = hf_models.save(reference, tmp_path / "s", max_shard_size="50KB")
        index = "model.safetensors.index.json"
    recipe = recipe_for_config(folder)
    honest = json.loads((folder / index).read_text())
    files = sorted(set(honest["weight_map"].values()))
    own = honest["weight_map"]["model.norm.weight"]
    other = next(f for f in files if f != own)

    def says(change: dict[str, Any], words: str) -> None:
        (folder / index).write_text(json.dumps(change))
        with pytest.raises(CheckpointError) as caught:
            logits(config_of(folder), recipe)
        assert words in str(caught.value)

    def with_map(**change: str) -> dict[str, Any]:
        return {"weight_map": {**honest["weight_map"], **change}}

    says(with_map(**{"model.norm.weight": other}), "it does not")
    says(with_map(**{"model.norm.weight": "../../x"}), "the index names a file outside: ../../x")
    says(with_map(**{"model.norm.weight": "/etc/passwd"}), "the index names a file outside")
    unlisted = {k: v for k, v in honest["weight_map"].items() if k != "model.norm.weight"}
    says({"weight_map": unlisted}, "holds 'model.norm.weight', which the index does not say")
    says({}, "the index has no weight_map")
    says(with_map(**{"model.norm.weight": "none.bin"}), "a shard that the index names is missing")


def test_a_truncated_safetensors_shard(reference: Any, tmp_path: Path) -> None:
    folder = hf_models.save(reference, tmp_path / "s", max_shard_size="50KB")
    recipe = recipe_for_config(folder)
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file") as caught:
        logits(config_of(folder), recipe)
    assert caught.value.where == str(shard)


def test_headers_tell_what_the_tensors_are(reference: Any, tmp_path: Path) -> None:
    half = hf_models.llama(seed=3).bfloat16()
    for folder in (hf_models.save(half, tmp_path / "a"), save_bin(half, tmp_path / "b", 2)):
        checkpoint = open_checkpoint(config_of(folder), {})
        infos = describe_tensors(checkpoint)
        assert {n: i.shape for n, i in infos.items()} == {
            n: tuple(t.shape) for n, t in checkpoint.tensors()
        }
        assert {i.dtype for i in infos.values()} == {"bf16"}


def test_a_folder_without_weights_says_what_it_may_hold(reference: Any, tmp_path: Path) -> None:
    folder = hf_models.save(reference, tmp_path / "m")
    recipe = recipe_for_config(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="the weights file is missing") as caught:
        logits(config_of(folder), recipe)
    for name in ("model.safetensors", "pytorch_model.bin", ".gguf", "consolidated.00.pth"):
        assert name in (caught.value.fix or "")


# -- torchao -------------------------------------------------------------------------------


def ao_configs() -> dict[str, Any]:
    from torchao import quantization as ao

    group = ao.PerGroup(32)
    return {
        "int8": ao.Int8WeightOnlyConfig(),
        "8da4w": ao.Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4,  # type: ignore[attr-defined]
            weight_granularity=group,
        ),
        "float8": ao.Float8WeightOnlyConfig(),
    }


def save_quantized(folder: Path, base: Path, name: str, **options: Any) -> Any:
    """Quantize with transformers and save; returns the model with dequantized weights."""
    from transformers import AutoModelForCausalLM, TorchAoConfig

    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=TorchAoConfig(ao_configs()[name])
    )
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text((base / "tokenizer.json").read_text())
    assert type(model.model.layers[0].mlp.up_proj.weight).__name__ != "Parameter"
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and type(weight) is not torch.nn.Parameter:
            module.weight = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
    return model.eval()


@pytest.mark.parametrize("name", ["int8", "8da4w", "float8"])
def test_torchao_weights_are_dequantized(reference: Any, tmp_path: Path, name: str) -> None:
    base = hf_models.save(reference, tmp_path / "base")
    # Shards so small that the parts of one weight lie in different files.
    dequantized = save_quantized(tmp_path / "ao", base, name, max_shard_size="6KB")
    assert len(list((tmp_path / "ao").glob("*.safetensors"))) > 4
    want = expected(dequantized)
    assert close(logits(config_of(tmp_path / "ao")), want)
    assert not close(want, expected(reference), 1e-3)
    infos = describe_tensors(open_checkpoint(config_of(tmp_path / "ao"), {}))
    assert infos["model.layers.0.mlp.up_proj.weight"].shape == (96, 64)
    assert infos["model.layers.0.mlp.up_proj.weight"].dtype.endswith("Tensor")
    assert infos["model.norm.weight"].dtype == "f32"


def test_torchao_tensors_that_cannot_be_float(reference: Any, tmp_path: Path) -> None:
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import Int4Tensor

    folder = hf_models.save(reference, tmp_path / "m")
    recipe = recipe_for_config(folder)
    state = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    rows, columns = state[name].shape
    scale = torch.ones(columns // 32, rows)
    packed = torch.zeros(rows, columns // 2, dtype=torch.int8)
    state[name] = Int4Tensor(packed, scale, torch.zeros_like(scale), [1, 32], (rows, columns))
    flat, metadata = flatten_tensor_state_dict(state)
    save_file(flat, folder / "model.safetensors", metadata)
    with pytest.raises(CheckpointError) as caught:
        logits(config_of(folder), recipe)
    assert f"'{name}' is a torchao Int4Tensor, which cannot be made float here" in str(caught.value)


def test_torchao_damage(reference: Any, tmp_path: Path) -> None:
    base = hf_models.save(reference, tmp_path / "base")
    save_quantized(tmp_path / "ao", base, "int8")
    file = tmp_path / "ao" / "model.safetensors"
    recipe = recipe_for_config(base)
    whole = load_file(file)
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    part = "model.layers.0.mlp.up_proj._weight_scale"
    save_file({k: v for k, v in whole.items() if k != part}, file, metadata)
    with pytest.raises(CheckpointError, match=f"'{part}', a part of .*, is missing"):
        logits(config_of(file.parent), recipe)
    save_file({**whole, "extra": torch.ones(1)}, file, metadata)
    with pytest.raises(CheckpointError, match="metadata does not account for extra"):
        logits(config_of(file.parent), recipe)
    key = "model.layers.0.mlp.up_proj.weight"
    strange = {**metadata, key: metadata[key].replace("Int8Tensor", "Int3Tensor")}
    save_file(whole, file, strange)
    with pytest.raises(CheckpointError, match=f"torchao cannot rebuild '{key}'.*Int3Tensor"):
        logits(config_of(file.parent), recipe)
    for damage in ("[not json", "{}", '{"_type": "Int8Tensor"}'):
        save_file(whole, file, {**metadata, key: damage})
        with pytest.raises(CheckpointError, match="torchao's metadata is damaged"):
            logits(config_of(file.parent), recipe)
