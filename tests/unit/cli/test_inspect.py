"""``llm-export inspect``: what it says of each kind of checkpoint, from headers only."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import gguf
import hf_models
import pytest
import torch
from checkpoint_files import write_gguf, write_meta
from safetensors.torch import load_file, save_file

from llm_export.checkpoints import spans
from llm_export.cli.inspect import tensor_lines
from llm_export.cli.main import main
from llm_export.config.schema import CheckpointConfig
from llm_export.models.inventory import Inventory, take_inventory
from llm_export.models.tensor_groups import group_layers

Q = "model.layers.{0,1}.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


@pytest.fixture
def folder(reference: Any, tmp_path: Path) -> Path:
    return hf_models.save(reference, tmp_path / "model", max_shard_size="100KB")


@pytest.fixture(autouse=True)
def no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the bytes of a tensor is an error here: headers must do."""

    def refuse(path: Path, *_: Any) -> None:
        raise AssertionError(f"reads values of {path}")

    # This one first: it may import the module, which must not take the other patch for its own.
    monkeypatch.setattr("llm_export.checkpoints.gguf.read_into", refuse)
    monkeypatch.setattr(spans, "read_into", refuse)


def inspect(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["inspect", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def fact(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name)).split("  ", 1)[1]


def of(path: Path, **options: Any) -> Inventory:
    return take_inventory(CheckpointConfig(path=str(path), **options))


def test_the_facts_of_a_hugging_face_folder(
    folder: Path, reference: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    files = list(folder.glob("*.safetensors"))
    assert len(files) > 1
    text = inspect(capsys, str(folder))
    size = sum(f.stat().st_size for f in files) / 1e6
    assert f"safetensors, {len(files)} files, {size:.1f} MB" in fact(text, "format")
    for name, words in (
        ("architecture", "llama"), ("parameters", "0.1 M"), ("dtypes", "f32 (21)"),
        ("embeddings", "not tied"), ("tokenizer", "BPE, 320 tokens"), ("chat template", "yes"),
        ("fast tier", "family llama"), ("tensors", "21 used"),
    ):  # fmt: skip
        assert fact(text, name).strip() == words
    line = next(line for line in text.splitlines() if line.startswith(Q))
    assert line.split() == [Q, "2", "x", "[64,", "64]", "f32", "used"]
    assert of(folder).parameters == sum(p.numel() for p in reference.parameters())


def test_all_tensors_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = inspect(capsys, str(folder), "--tensors")
    assert "model.layers.1.self_attn.q_proj.weight" in text
    assert "{" not in text
    found = json.loads(inspect(capsys, str(folder), "--json"))
    assert found["family"] == "llama"
    assert found["refusal"] is None
    assert len(found["tensors"]) == 21
    assert found["tensors"][0].keys() == {"name", "shape", "dtype", "status", "misfit"}


def test_used_ignored_tied_unknown_misfit_and_missing(tmp_path: Path) -> None:
    folder = hf_models.save(hf_models.llama(tie_word_embeddings=True), tmp_path / "m")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    tensors["vision.weight"] = torch.ones(2, 2)
    tensors["model.norm.weight"] = torch.ones(3)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file)
    found = of(folder)
    status = {row.name: row.status for row in found.tensors}
    assert status["lm_head.weight"] == "tied"
    assert status["model.layers.0.self_attn.rotary_emb.inv_freq"] == "ignored"
    assert status["vision.weight"] == "unknown"
    assert status["model.embed_tokens.weight"] == "used"
    assert found.missing == ["layers.1.feed_forward.gate_up.up.weight"]
    assert found.tied is True
    lines = tensor_lines(found, each=False)
    assert any("model.norm.weight" in x and "the model needs [64]" in x for x in lines)
    assert "missing" in lines[-1]
    assert lines[-1].startswith("layers.1.feed_forward.gate_up.up.weight")


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1"])
def test_gguf(
    reference: Any, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_gguf(tmp_path / "m.gguf", reference, gguf.GGMLQuantizationType[kind])
    text = inspect(capsys, str(file))
    assert fact(text, "architecture").strip() == "llama"
    assert fact(text, "dtypes").strip() == f"{kind} (16), F32 (5)"
    assert "none: the GGUF file lacks 'tokenizer.ggml.merges'" in fact(text, "tokenizer")
    assert "blk.{0,1}.attn_q.weight" in text


def test_meta(reference: Any, tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "meta", reference)
    found = of(folder)
    assert (found.architecture, found.family, found.format) == ("llama", "llama", "torch")
    assert {row.status for row in found.tensors} == {"used"}
    assert found.tokenizer.kind is None
    assert "no tokenizer" in (found.tokenizer.problem or "")


def test_an_unknown_architecture_is_described_still(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "zebra"}))
    text = inspect(capsys, str(folder))
    assert fact(text, "architecture").strip() == "zebra"
    assert "none: no fast tier for 'zebra'" in fact(text, "fast tier")
    assert "used" not in text
    assert Q in text
    (folder / "config.json").write_text(json.dumps({**config, "sinks": 4}))
    assert "does not know the config key(s) sinks" in fact(inspect(capsys, str(folder)), "fast")
    (folder / "config.json").unlink()
    (folder / "tokenizer.json").unlink()
    text = inspect(capsys, str(folder))
    assert "not said" in fact(text, "architecture")
    assert "none: the model config is missing" in fact(text, "fast tier")
    assert fact(text, "tokenizer").strip().startswith("none: ")


def test_an_adapter_and_its_base(reference: Any, tmp_path: Path) -> None:
    folder = hf_models.save(reference, tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    at = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    save_file({f"{at}A.weight": torch.ones(2, 64), f"{at}B.weight": torch.ones(96, 2)},
              adapter / "adapter_model.safetensors")  # fmt: skip
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    found = of(folder, adapter=str(adapter))
    assert found.format == "safetensors + LoRA"
    assert found.files == 3


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("nowhere", "there is no such checkpoint"),
        ("/nowhere/at/all", "there is no such checkpoint"),
        ("{tmp}", "the weights file is missing"),
        ("{tmp}/trained", "it holds {tmp}/trained/checkpoint-10, {tmp}/trained/checkpoint-9: give"),
        ("{tmp}/model-00001-of-00002.safetensors", "give their folder: checkpoint.path={quoted}"),
        ("{tmp}/x.onnx", "unknown kind of checkpoint 'x.onnx'"),
        ("organisation/name", "the hub cannot be reached"),
    ],
)
def test_what_cannot_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    word: str, hint: str,
) -> None:  # fmt: skip
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"x")
    if "-of-" in word:
        (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"x")
        (tmp_path / "model.safetensors.index.json").write_text("{}")
    for step in (10, 9):
        config = tmp_path / "trained" / f"checkpoint-{step}" / "config.json"
        config.parent.mkdir(parents=True)
        config.write_text("{}")
        os.utime(config, (step, step))
    assert main(["inspect", word.format(tmp=tmp_path)]) in (2, 3)
    hint = hint.format(tmp=tmp_path, quoted=shlex.quote(str(tmp_path)))
    assert hint in capsys.readouterr().err


def test_names_from_a_file_do_not_reach_the_terminal_raw(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a\x1b[2Jb": torch.ones(1)}, folder / "x.safetensors")
    assert "\x1b" not in inspect(capsys, str(folder / "x.safetensors"))


def test_layers_that_differ_make_groups_of_their_own(folder: Path) -> None:
    from llm_export.models.inventory import TensorRow

    def names(*rows: TensorRow) -> list[str]:
        return [group.name for group in group_layers(rows)]

    def row(name: str, *shape: int, dtype: str = "f32") -> TensorRow:
        return TensorRow(name, shape, dtype, "used")

    assert names(*(row(f"l.{i}.w", 4) for i in (0, 1, 2, 5, 7, 8))) == ["l.{0..2,5,7,8}.w"]
    assert names(row("l.0.w", 4), row("l.1.w", 8), row("l.2.w", 4)) == ["l.{0,2}.w", "l.1.w"]
    assert names(row("l.0.w", 4), row("l.1.w", 4, dtype="bf16")) == ["l.0.w", "l.1.w"]
    experts = [row(f"l.{i}.e.{j}.w", 4) for i in range(2) for j in range(3)]
    assert names(*experts) == ["l.{0,1}.e.{0..2}.w"]
    assert group_layers(experts)[0].count == 6
