"""What ``validate`` says of a local checkpoint without reading its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import hf_families
import hf_models
import pytest
import torch
import torchtune_models
from safetensors.torch import load_file, save_file

from llm_export import api
from llm_export.compat.torchtune_package import torchtune_is_installed

Tensors = dict[str, torch.Tensor]
OFF = ("backend=xnnpack", "verify=off", "benchmark=off")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """folders(family) -> a folder of a model of the generic tier."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp("model") / family
            made[family] = hf_models.save(hf_families.build(family), folder)
        return made[family]

    return make


def damaged(folder: Path, target: Path, change: Callable[[Tensors], None]) -> Path:
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def said_of(folder: Path, *words: str) -> list[str]:
    found = api.validate(None, ["model=auto", f"checkpoint.path={folder}", *OFF, *words])
    return [str(p) for p in found.problems]


def _cut(name: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name][:-1].clone()

    return change


def _drop(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__delitem__(name)


def _add(tensors: Tensors) -> None:
    tensors["model.odd.weight"] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("family", "change", "words"),
    [
        ("gpt_neox", _cut("gpt_neox.layers.1.mlp.dense_h_to_4h.weight"),
         "'gpt_neox.layers.1.mlp.dense_h_to_4h.weight' has shape (95, 64); the model needs (96"),
        ("bloom", _drop("transformer.h.0.mlp.dense_4h_to_h.bias"),
         "1 tensors are missing: transformer.h.0.mlp.dense_4h_to_h.bias"),
        ("gpt2", _add, "1 tensors have no place in the model: model.odd.weight"),
        # Experts are stacked as they are loaded.
        ("mixtral", _cut("model.layers.0.block_sparse_moe.experts.1.w2.weight"),
         "transformers cannot take up the tensors"),
    ],
)  # fmt: skip
def test_tensors_of_the_generic_tier(
    family: str, change: Callable[[Tensors], None], words: str,
    folders: Callable[[str], Path], tmp_path: Path,
) -> None:  # fmt: skip
    found = said_of(damaged(folders(family), tmp_path / "m", change), "model.definition=hf")
    assert len(found) == 1
    assert words in found[0]
    assert "fix:" in found[0]


def test_a_sound_folder_of_the_generic_tier(folders: Callable[[str], Path]) -> None:
    found = api.validate(
        None, ["model=auto", f"checkpoint.path={folders('bloom')}", *OFF, "quant=8da8w"]
    )
    assert found.problems == []
    assert "all 29 tensors of the safetensors checkpoint have a place" in found.model
    assert found.expected is None
    assert found.program is not None


@pytest.mark.skipif(not torchtune_is_installed(), reason="torchtune is not installed")
@pytest.mark.parametrize("own", [False, True])
def test_tensors_of_torchtunes_models(own: bool, tmp_path: Path) -> None:
    model, folder = torchtune_models.reference("llama"), tmp_path / "m"
    words = ("model.definition=torchtune", f"model.config={json.dumps(model.config.to_dict())}")
    if not own:
        torchtune_models.save_hf(model, folder)
        assert said_of(folder, words[0]) == []
        cut = damaged(folder, tmp_path / "cut", _cut("model.layers.0.mlp.up_proj.weight"))
        assert "a tensor has shape (95, 64); the model needs (96, 64)" in said_of(cut, words[0])[0]
        return
    torchtune_models.save_tune(model, folder)
    assert said_of(folder, words[0]) == []
    state = torchtune_models.tune_state(model)
    del state["norm.scale"]
    torch.save(state, folder / "model-00001-of-00001.bin")
    assert "1 tensors are missing: norm.scale" in said_of(folder, words[0])[0]
