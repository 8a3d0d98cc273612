"""convert: any format as a Hugging Face folder that transformers reads as the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import checkpoint_files
import gguf
import hf_models
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from llm_export.checkpoints.folder_writer import FolderWriter
from llm_export.cli.main import main
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import InputError
from llm_export.models.convert import convert

IDS = list(range(3, 40))


@pytest.fixture(scope="module")
def reference() -> Any:
    return hf_models.llama(seed=3)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0]


def same(folder: Path, reference: Any, bar: float = 1e-5) -> bool:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    a, b = logits(model), logits(reference)
    return float((a - b).abs().max() / b.abs().max()) < bar


def test_gguf(reference: Any, tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.F32
    file = checkpoint_files.write_gguf(tmp_path / "m.gguf", reference, kind)
    done = convert(CheckpointConfig(path=str(file)), tmp_path / "out")
    assert same(tmp_path / "out", reference)
    assert not done.tokenizer  # the file has none
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"


def test_meta(reference: Any, tmp_path: Path) -> None:
    folder = checkpoint_files.write_meta(tmp_path / "meta", reference)
    convert(CheckpointConfig(path=str(folder)), tmp_path / "out", max_positions=512)
    assert same(tmp_path / "out", reference)


def test_shards_and_dtype_by_the_command(reference: Any, tmp_path: Path, capsys: Any) -> None:
    folder = hf_models.save(reference, tmp_path / "m")
    assert main(["convert", str(folder), str(tmp_path / "out"), "--dtype", "bf16"]) == 0
    assert "with its tokenizer" in capsys.readouterr().out
    assert same(tmp_path / "out", reference, 0.05)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}
    source = CheckpointConfig(path=str(folder))
    convert(source, tmp_path / "shards", shard_bytes=50_000)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert same(tmp_path / "shards", reference)


def test_a_folder_that_is_there_is_left_alone(reference: Any, tmp_path: Path, capsys: Any) -> None:
    folder = hf_models.save(reference, tmp_path / "m")
    assert main(["convert", str(folder), str(folder)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FolderWriter(tmp_path / "out") as writer:
        writer.add("a", torch.zeros(2) / (1 // 0))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be written"), FolderWriter(Path("/proc/x")):
        pass
