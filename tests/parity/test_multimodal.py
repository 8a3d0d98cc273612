"""The text model of a multimodal checkpoint gives the whole model's logits for text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import wrapper_models
from parity_tools import BAR, recipe_for, relative_error, sample_ids

from llm_export.checkpoints.base import remarks_of
from llm_export.models.detect import FAST
from llm_export.models.load_model import load_model
from llm_export.stages.verification.logits import eager_logits

_QUICK = ("gemma3", "llava", "idefics3")


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
    recipe = recipe_for(folder, "runtime.context_length=64", "runtime.prefill_length=32")
    assert recipe.model.definition == FAST
    assert recipe.model.family == wrapper_models.WRAPPERS[model_type][0]
    loaded = load_model(recipe, attention="plain", context_length=64, all_logits=True)
    ids = sample_ids(40)
    with torch.no_grad():
        expected = reference(input_ids=torch.tensor([ids])).logits[0]
    assert relative_error(eager_logits(loaded.model, ids), expected) < BAR
    told = remarks_of(loaded.checkpoint)
    assert any("the text model alone is used" in line for line in told)
