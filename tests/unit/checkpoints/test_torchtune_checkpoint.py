"""torchtune's files: recognized, converted, refused with reasons."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchtune_models as tiny
from safetensors.torch import load_file, save_file

from llm_export.checkpoints.adapter import read_adapter
from llm_export.checkpoints.open import open_checkpoint
from llm_export.checkpoints.torchtune_adapter import (
    holds_torchtune_adapter,
    read_torchtune_adapter,
)
from llm_export.checkpoints.torchtune_file import TorchtuneCheckpoint, fits
from llm_export.compat.torchtune_package import load_torchtune, torchtune_is_installed
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, MissingDependencyError
from llm_export.models.detect import detect_model

# Not importorskip: without the shim of load_torchtune, importing it fails where it is installed.
if not torchtune_is_installed():
    pytest.skip("torchtune is not installed", allow_module_level=True)
load_torchtune()

from torchtune.models.gemma2._component_builders import lora_gemma2  # noqa: E402
from torchtune.models.llama3_2._component_builders import lora_llama3_2  # noqa: E402
from torchtune.models.qwen2._component_builders import lora_qwen2  # noqa: E402
from torchtune.modules.peft import get_adapter_params, get_merged_lora_ckpt  # noqa: E402


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``hf`` and ``tune`` folders of one model."""
    root = tmp_path_factory.mktemp("llama")
    model = tiny.reference("llama3_2")
    tiny.save_hf(model, root / "hf")
    tiny.save_tune(model, root / "tune")
    return root


# -- full checkpoints ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_the_view_has_the_tensors_of_the_hugging_face_folder(variant: str, tmp_path: Path) -> None:
    model = tiny.reference(variant)
    expected = load_file(tiny.save_hf(model, tmp_path / "hf") / "model.safetensors")
    folder = tiny.save_tune(model, tmp_path / "tune")
    checkpoint = open_checkpoint(CheckpointConfig(path=str(folder)), {})
    assert (checkpoint.naming, checkpoint.format) == ("hf", "torchtune")
    tensors = dict(checkpoint.tensors())
    assert set(checkpoint.names()) == set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert checkpoint.files == (folder / "model-00001-of-00001.bin",)
    assert checkpoint.tokenizer().eos_ids == (319,)


@pytest.mark.parametrize("name", ["torchtune_model_0.pt", "mine.pth", "mine.safetensors"])
def test_files_are_known_by_their_tensor_names(name: str, llama: Path, tmp_path: Path) -> None:
    state = torch.load(llama / "tune" / "model-00001-of-00001.bin", weights_only=True)
    if name.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / name)
    else:
        torch.save(state, tmp_path / name)
    source = CheckpointConfig(
        path=str(tmp_path / name), config_path=str(llama / "tune" / "config.json")
    )
    checkpoint = open_checkpoint(source, {})
    assert isinstance(checkpoint, TorchtuneCheckpoint)
    expected = load_file(llama / "hf" / "model.safetensors")
    assert all(torch.equal(t, expected[n]) for n, t in checkpoint.tensors())


def test_other_checkpoints_are_not_taken_for_torchtunes(llama: Path, tmp_path: Path) -> None:
    assert not fits(llama / "hf")
    assert not fits(llama / "hf" / "model.safetensors")
    assert not fits(llama / "hf" / "config.json")
    names = ("tok_embeddings.weight", "layers.0.attention.wq.weight")
    torch.save({name: torch.zeros(2, 2) for name in names}, tmp_path / "meta.pth")
    assert not fits(tmp_path / "meta.pth")
    torch.save({"optimizer": {}}, tmp_path / "recipe_state.pt")
    assert not fits(tmp_path / "recipe_state.pt")


def test_the_epoch_must_be_named(tmp_path: Path) -> None:
    """A folder an epoch, as FullModelTorchTuneCheckpointer 0.6 writes; then files, as before."""
    for epoch in (0, 1):
        tiny.save_tune(tiny.reference("llama3_2", epoch), tmp_path / f"epoch_{epoch}")
    with pytest.raises(CheckpointError, match="checkpoints in folders: epoch_0, epoch_1") as caught:
        open_checkpoint(CheckpointConfig(path=str(tmp_path)), {})
    assert caught.value.fix is not None
    assert caught.value.fix.endswith("epoch_1")
    for name in (0, 1):
        torch.save(
            tiny.tune_state(tiny.reference("llama3_2")), tmp_path / f"torchtune_model_{name}.pt"
        )
    with pytest.raises(CheckpointError, match=r"torchtune_model_0\.pt, torchtune_model_1\.pt"):
        open_checkpoint(CheckpointConfig(path=str(tmp_path)), {})


def test_shards_of_older_versions_are_read_together(tmp_path: Path) -> None:
    model = tiny.reference("llama")
    expected = load_file(tiny.save_hf(model, tmp_path) / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = list(expected)
    for number, part in enumerate((names[:5], names[5:]), start=1):
        torch.save({n: expected[n] for n in part}, tmp_path / f"hf_model_000{number}_0.pt")
    for path in (tmp_path, tmp_path / "hf_model_0002_0.pt"):
        checkpoint = open_checkpoint(CheckpointConfig(path=str(path)), {})
        assert checkpoint.config()["model_type"] == "llama"
        tensors = dict(checkpoint.tensors())
        assert checkpoint.names() == list(tensors) == names
        assert all(torch.equal(tensors[n], expected[n]) for n in names)


def test_what_a_reader_changes_is_its_own(llama: Path) -> None:
    """Merging an adapter adds in place; the file and the next reading must not see it."""
    checkpoint = open_checkpoint(CheckpointConfig(path=str(llama / "tune")), {})
    before = {name: tensor.clone() for name, tensor in checkpoint.tensors()}
    for _, tensor in checkpoint.tensors():
        tensor.add_(1)
    assert all(torch.equal(t, before[n]) for n, t in checkpoint.tensors())


def test_a_missing_config_is_said(llama: Path, tmp_path: Path) -> None:
    torch.save(tiny.tune_state(tiny.reference("llama3_2")), tmp_path / "torchtune_model_0.pt")
    checkpoint = open_checkpoint(CheckpointConfig(path=str(tmp_path)), {})
    with pytest.raises(CheckpointError, match="needs the model's Hugging Face config") as caught:
        checkpoint.config()
    assert "checkpoint.config_path=FILE" in str(caught.value)


def test_an_unknown_model_type_is_said(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "tune" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "whisper"}))
    source = CheckpointConfig(path=str(llama / "tune"), config_path=str(tmp_path / "config.json"))
    with pytest.raises(CheckpointError, match="no torchtune names are known") as caught:
        open_checkpoint(source, {}).names()
    assert "gemma2, llama, mistral, phi3, qwen2" in str(caught.value)


def test_a_config_of_another_size_is_said(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "tune" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_attention_heads": 3}))
    source = CheckpointConfig(path=str(llama / "tune"), config_path=str(tmp_path / "config.json"))
    with pytest.raises(CheckpointError, match=r"torchtune cannot convert layers\.0\.attn\.q_proj"):
        list(open_checkpoint(source, {}).tensors())


def test_a_damaged_file_is_said_by_its_reader(tmp_path: Path) -> None:
    (tmp_path / "torchtune_model_0.pt").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CheckpointError, match="not a whole, safe torch file"):
        open_checkpoint(CheckpointConfig(path=str(tmp_path / "torchtune_model_0.pt")), {}).names()


def test_without_torchtune_the_fix_is_the_pip_line(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchtune", None)
    checkpoint = open_checkpoint(CheckpointConfig(path=str(llama / "tune")), {})
    with pytest.raises(MissingDependencyError, match="torchtune is not installed") as caught:
        checkpoint.names()
    assert "pip install torchtune==0.6.1" in str(caught.value)


def test_the_shim_is_idempotent() -> None:
    load_torchtune()
    before = sys.modules["torchao.dtypes.nf4tensor"]
    load_torchtune()
    assert sys.modules["torchao.dtypes.nf4tensor"] is before
    assert importlib.import_module("torchtune.modules.peft")


# -- adapters ------------------------------------------------------------------------------

RANK, ALPHA = 4, 12.0
ATTENTION = ["q_proj", "k_proj", "v_proj", "output_proj"]
BUILDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama3_2": (lora_llama3_2, {"tie_word_embeddings": True, "rope_base": 500000}),
    "qwen2": (lora_qwen2, {"tie_word_embeddings": True}),
    "gemma2": (lora_gemma2, {"head_dim": 32}),
}


def write_adapter(variant: str, folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Save torchtune's adapter of a random LoRA model; returns the base model and the
    weights that torchtune itself merges, under its names."""
    base = tiny.reference(variant)
    state = tiny.tune_state(base)
    builder, more = BUILDERS[variant]
    lora = builder(
        ATTENTION, apply_lora_to_mlp=True, vocab_size=320, num_layers=2, num_heads=4,
        num_kv_heads=2, embed_dim=64, intermediate_dim=96, max_seq_len=64, lora_rank=RANK,
        lora_alpha=ALPHA, **more,
    )  # fmt: skip
    torch.manual_seed(3)
    adapter = {k: torch.randn_like(v) for k, v in get_adapter_params(lora).items()}
    folder.mkdir(exist_ok=True)
    torch.save(adapter, folder / "adapter_model.pt")
    settings = {"r": RANK, "lora_alpha": ALPHA, "peft_type": "LORA",
                "target_modules": [*ATTENTION, "w1", "w2", "w3"]}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    merged = get_merged_lora_ckpt({**state, **adapter}, rank=RANK, alpha=ALPHA)
    return base, merged


@pytest.mark.parametrize("variant", BUILDERS)
def test_an_adapter_merges_as_torchtune_merges_it(variant: str, tmp_path: Path) -> None:
    base, merged = write_adapter(variant, tmp_path)
    config = base.config.to_dict()
    assert holds_torchtune_adapter(tmp_path / "adapter_model.pt")
    adapter = read_torchtune_adapter(tmp_path / "adapter_model.pt", config)
    assert adapter.settings["target_modules"] == [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj"
    ]  # fmt: skip
    torch.save(merged, tmp_path / "torchtune_model_0.pt")
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    expected = dict(TorchtuneCheckpoint(tmp_path / "torchtune_model_0.pt").tensors())
    changed = 0
    for name, weight in base.state_dict().items():
        if name not in expected:
            continue
        stem = "base_model.model." + name.removesuffix(".weight")
        if f"{stem}.lora_A.weight" in adapter.tensors:
            a, b = (
                adapter.tensors[f"{stem}.lora_A.weight"],
                adapter.tensors[f"{stem}.lora_B.weight"],
            )
            weight = weight + ALPHA / RANK * b @ a
            changed += 1
        assert torch.allclose(weight, expected[name], atol=1e-5), name
    assert changed == 14
    assert len(adapter.tensors) == 28


def test_adapters_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    base, _ = write_adapter("llama3_2", tmp_path)
    config, file = base.config.to_dict(), tmp_path / "adapter_model.pt"
    with pytest.raises(CheckpointError, match="of the model type 'phi3' cannot be applied"):
        read_torchtune_adapter(file, {**config, "model_type": "phi3"})
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "r": 8}))
    with pytest.raises(CheckpointError, match="the adapter has rank 4; its config says r=8"):
        read_torchtune_adapter(file, config)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4}))
    with pytest.raises(CheckpointError, match=r"lacks .'lora_alpha', 'target_modules'"):
        read_torchtune_adapter(file, config)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match="rank and alpha are not known"):
        read_torchtune_adapter(file, config)
    state = torch.load(file, weights_only=True)
    torch.save({**state, "layers.0.attn.q_proj.magnitude": torch.ones(64)}, file)
    with pytest.raises(CheckpointError, match="DoRA adapters are not implemented"):
        read_torchtune_adapter(file, config)
    assert not holds_torchtune_adapter(file)


def test_settings_under_pefts_names_stay(tmp_path: Path) -> None:
    base, _ = write_adapter("llama3_2", tmp_path)
    settings = {"r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj", "o_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    adapter = read_torchtune_adapter(tmp_path / "adapter_model.pt", base.config.to_dict())
    assert adapter.settings == settings


@pytest.mark.parametrize("variant", BUILDERS)
def test_a_recipe_takes_torchtunes_adapter(variant: str, tmp_path: Path) -> None:
    base, merged = write_adapter(variant, tmp_path / "lora")
    base.save_pretrained(tmp_path / "base")
    source = CheckpointConfig(path=str(tmp_path / "base"), adapter=str(tmp_path / "lora"))
    checkpoint = open_checkpoint(source, {})
    assert [f.name for f in checkpoint.files] == [
        "model.safetensors", "adapter_model.pt", "adapter_config.json"
    ]  # fmt: skip
    (tmp_path / "tune").mkdir()
    torch.save(merged, tmp_path / "tune" / "torchtune_model_0.pt")
    config = json.dumps(base.config.to_dict(), default=str)
    (tmp_path / "tune" / "config.json").write_text(config)
    expected = dict(TorchtuneCheckpoint(tmp_path / "tune" / "torchtune_model_0.pt").tensors())
    for name, tensor in checkpoint.tensors():
        assert name not in expected or torch.allclose(tensor, expected[name], atol=1e-5), name
    settings = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    less = {k: settings[k] for k in ("r", "lora_alpha", "target_modules")}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(less))
    adapter = open_checkpoint(source, {}).adapter  # type: ignore[attr-defined]
    assert adapter.scale["model.layers.0.self_attn.q_proj"] == ALPHA / RANK
    assert adapter.pairs["model.layers.0.self_attn.q_proj"][0].shape == (RANK, 64)
    # A bundle has the facts of the model option only, which do as well.
    option = detect_model(CheckpointConfig(path=str(tmp_path / "base")), 64)
    again = read_adapter(tmp_path / "lora", {**option.config, "model_type": option.family})
    for module, (a, b) in adapter.pairs.items():
        assert torch.equal(again.pairs[module][0], a)
        assert torch.equal(again.pairs[module][1], b)


def test_several_adapters_of_torchtune_are_one_too_many(tmp_path: Path) -> None:
    base, _ = write_adapter("llama3_2", tmp_path)
    state = (tmp_path / "adapter_model.pt").read_bytes()
    (tmp_path / "adapter_model.pt").rename(tmp_path / "adapter_0.pt")
    (tmp_path / "adapter_1.pt").write_bytes(state)
    with pytest.raises(CheckpointError, match=r"2 adapters: adapter_0\.pt, adapter_1\.pt"):
        read_adapter(tmp_path, base.config.to_dict())
