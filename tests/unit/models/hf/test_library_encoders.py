"""The generic tier of embeddings: encoders of transformers as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_models import save
from transformers import AutoConfig, AutoModel

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import Recipe
from llm_export.models.load_model import load_model
from llm_export.models.task import task_options

SIZES = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": 130, "pad_token_id": 1,
}  # fmt: skip
KINDS = {
    "mpnet": SIZES,
    "electra": {**SIZES, "embedding_size": 32},
    "deberta-v2": SIZES,
    "nomic_bert": SIZES,
}


def folder_of(kind: str, folder: Path) -> tuple[Any, Path]:
    torch.manual_seed(0)
    hf = AutoModel.from_config(AutoConfig.for_model(kind, **KINDS[kind])).eval()
    save(hf, folder)
    pooling = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling",
         "type": "sentence_transformers.models.Pooling"},
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    return hf, folder


def composed(folder: Path, *words: str) -> Recipe:
    return api.compose_recipe(None, ["model=auto", f"checkpoint.path={folder}", *words]).recipe


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_s_model_pooled(kind: str, tmp_path: Path) -> None:
    hf, folder = folder_of(kind, tmp_path / kind)
    recipe = composed(folder)
    assert recipe.model.task == "embed"
    assert recipe.model.definition == "hf"
    assert [p for p in find_problems(recipe) if not p.environment] == []
    model: Any = load_model(recipe, attention="plain", context_length=64, all_logits=False).model
    (method,) = model.methods(task_options(recipe), dynamic=True)
    assert method.repeated_layers == ""  # those of our own encoders are not in it
    ids, mask = torch.randint(3, 300, (3, 9)), torch.ones(3, 9, dtype=torch.int64)
    ids[1, 5:], mask[1, 5:] = 1, 0
    with torch.no_grad():
        found = method.module(ids, mask)
        hidden = hf(ids, attention_mask=mask)[0]
        alone = method.module(ids[1:2, :5], mask[1:2, :5])
    weights = mask[..., None].float()
    wanted = torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)
    if not model.plan(task_options(recipe)).normalize:
        wanted = (hidden * weights).sum(1) / weights.sum(1)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone[0], found[1], rtol=1e-5, atol=1e-5)


def test_positions_for_padding_are_no_room(tmp_path: Path) -> None:
    _, folder = folder_of("mpnet", tmp_path / "made")
    recipe = composed(folder, "runtime.context_length=130")
    (problem,) = [p for p in find_problems(recipe) if not p.environment]
    assert "130" in problem.what
    assert "2 of them for padding" in problem.what


def test_a_model_of_another_task(tmp_path: Path) -> None:
    _, folder = folder_of("electra", tmp_path / "made")
    said = ("model.family=electra", "model.definition=hf", "model.task=transcribe", "model.name=x")
    recipe = composed(folder, *said)
    (problem,) = find_problems(recipe)
    assert problem.what.startswith("'electra' is no encoder–decoder of speech")
