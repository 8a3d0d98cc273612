"""LoRA adapters that cannot be kept separate, and recipes that cannot keep one, say why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft", exc_type=ImportError)

import hf_models
from lora_models import save_adapter
from parity_tools import recipe_for

from llm_export import api
from llm_export.bundle.adapters import keep_separate, pairs_of
from llm_export.checkpoints.adapter import read_adapter
from llm_export.checks.rules import find_problems
from llm_export.errors import CheckpointError
from llm_export.models.load_model import load_model
from llm_export.resolve.recipe import resolve


def llama() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False, num_hidden_layers=1)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return hf_models.save(llama(), tmp_path / "base")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("checkpoint.adapter=null",), "there is no adapter to keep separate"),
        (
            ("quant=8da8w", "backend=xnnpack", "quant.outliers=4"),
            "can have no outlier channels",
        ),
        (
            ("quant=8da8w", "backend=xnnpack", "quant.outliers=0", "quant.smooth={}"),
            "smoothing rescales what the adapter reads",
        ),
        (("model.definition=hf",), "models of definition 'hf' keep no adapter separate"),
    ],
)
def test_recipes_that_are_refused(base: Path, overrides: tuple[str, ...], words: str) -> None:
    save_adapter(llama(), base.parent / "lora", target_modules=["q_proj", "v_proj", "up_proj"])
    lora = [f"checkpoint.adapter={base.parent / 'lora'}", "checkpoint.adapter_mode=separate"]
    words_of = ["model=auto", f"checkpoint.path={base}", "benchmark=off", *lora, *overrides]
    found = [str(p) for p in find_problems(api.compose_recipe(None, words_of).recipe)]
    assert len(found) == 1
    assert words in found[0]
    assert "fix:" in found[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modules_to_save": ["lm_head"]}, "replaces lm_head.weight as a whole"),
        ({"target_modules": ["embed_tokens", "q_proj"]},
         "changes model.embed_tokens, which is no linear of the decoder"),
    ],
)  # fmt: skip
def test_adapters_that_cannot_be_kept_apart(
    base: Path, options: dict[str, Any], words: str
) -> None:
    save_adapter(llama(), base.parent / "lora", **options)
    recipe = recipe_for(base)
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    with pytest.raises(CheckpointError) as caught:
        keep_separate(resolve(recipe), model, pairs_of(read_adapter(base.parent / "lora")))
    assert words in str(caught.value)
    assert "checkpoint.adapter_mode=merged" in str(caught.value)
