"""The text model of a composed checkpoint gives the whole model's logits for text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import wrapper_models
from parity_tools import relative_error, sample_ids
from safetensors.torch import load_file, save_file

from llm_export import api
from llm_export.checkpoints.base import remarks_of
from llm_export.config.schema import CheckpointConfig
from llm_export.models.definitions.base import LoadedModel
from llm_export.models.detect import AUTO, FAST, GENERIC, detect_model
from llm_export.models.families import FAMILIES
from llm_export.models.load_model import load_model
from llm_export.stages.verification.logits import eager_logits

_QUICK = ("gemma3", "qwen3_vl", "idefics3", "lfm2_vl")
_BAR = 1e-5


def _loaded(folder: Path, definition: str = AUTO) -> LoadedModel:
    source = CheckpointConfig(path=str(folder))
    words = ["model=tiny", "runtime.context_length=64", "runtime.prefill_length=32"]
    base = api.compose_recipe(None, words).recipe
    recipe = replace(base, model=detect_model(source, 512, definition), checkpoint=source)
    return load_model(recipe, attention="plain", context_length=64, all_logits=True)


def _logits(reference: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = reference(input_ids=torch.tensor([ids])).logits[0]
    return found


@pytest.mark.parametrize(
    "model_type",
    [
        pytest.param(name, marks=[] if name in _QUICK else pytest.mark.release)
        for name in wrapper_models.WRAPPERS
    ],
)
def test_text_logits_are_those_of_the_whole_model(model_type: str, tmp_path: Path) -> None:
    reference = wrapper_models.build(model_type)
    folder = wrapper_models.save(reference, tmp_path / "m")
    family = wrapper_models.WRAPPERS[model_type][0]
    ids = sample_ids(40)
    expected = _logits(reference, ids)
    if family == "cohere2":  # transformers' composed model leaves out the factor of its logits
        expected = expected * reference.config.get_text_config().logit_scale
    tiers = {AUTO, GENERIC} if model_type not in _QUICK else {AUTO}
    for tier in tiers:
        loaded = _loaded(folder, tier)
        assert relative_error(eager_logits(loaded.model, ids), expected) < _BAR
        told = remarks_of(loaded.checkpoint)
        assert any("the text model alone is used" in line for line in told)
    found = detect_model(CheckpointConfig(path=str(folder)), 512, AUTO)
    assert (found.definition, found.family) == (FAST if family in FAMILIES else GENERIC, family)


def test_published_checkpoints_have_a_layer_that_predicts_further_tokens(tmp_path: Path) -> None:
    """Those of Qwen3.5, beside the vision encoder; both are left out, and said in bytes."""
    reference = wrapper_models.build("qwen3_5")
    folder = wrapper_models.save(reference, tmp_path / "m")
    file = folder / "model.safetensors"
    predicts = {"mtp.fc.weight": torch.ones(64, 128), "mtp.norm.weight": torch.ones(64)}
    tensors = load_file(file) | predicts
    save_file(tensors, file, metadata={"format": "pt"})
    ids = sample_ids(40)
    loaded = _loaded(folder)
    assert relative_error(eager_logits(loaded.model, ids), _logits(reference, ids)) < _BAR
    vision = [t.nbytes for name, t in tensors.items() if "visual" in name]
    further = sum(t.nbytes for name, t in tensors.items() if "mtp" in name)
    assert remarks_of(loaded.checkpoint)[0] == (
        f"the text model alone is used: left out are {len(vision) + 2} tensors, "
        f"{(sum(vision) + further) / 1e6:.1f} MB: "
        f"visual ({len(vision)} tensors, {sum(vision) / 1e6:.1f} MB), "
        f"mtp (2 tensors, {further / 1e3:.1f} kB)"
    )


def test_a_config_that_has_no_part_for_text(tmp_path: Path) -> None:
    """The published ones of Qwen2-VL have the keys of the text model beside ``vision_config``."""
    reference = wrapper_models.build("qwen2_5_vl")
    folder = wrapper_models.save(reference, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    text = config.pop("text_config")
    flat = {**{k: v for k, v in text.items() if k != "model_type"}, **config}
    (folder / "config.json").write_text(json.dumps(flat))
    ids = sample_ids(40)
    error = relative_error(eager_logits(_loaded(folder).model, ids), _logits(reference, ids))
    assert error < _BAR


def test_a_composed_model_that_transformers_does_not_know(tmp_path: Path) -> None:
    """InternVL as its publishers store it, whose config has an ``llm_config``."""
    reference = wrapper_models.build("llava")
    folder = wrapper_models.save(reference, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "internvl_chat", "auto_map": {"AutoConfig": "configuration.Chat"}}
    inner = reference.config.get_text_config().to_dict()
    other = {k: v for k, v in config.items() if k not in ("text_config", "auto_map")}
    (folder / "config.json").write_text(json.dumps({**other, **own, "llm_config": inner}))
    ids = sample_ids(40)
    loaded = _loaded(folder)
    assert relative_error(eager_logits(loaded.model, ids), _logits(reference, ids)) < _BAR
    left_out, ordinary = remarks_of(loaded.checkpoint)
    names = loaded.checkpoint.whole.names()  # type: ignore[attr-defined]
    count = len(names) - len(loaded.checkpoint.names())
    assert f"left out are {count} tensors, " in left_out
    assert "vision_tower (" in left_out
    assert f"{config['image_token_index']} (image_token_index)" in ordinary
