"""The generic tier against transformers: eager, through the cache, and from disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_families
import hf_models
import pytest
import torch
from parity.test_ladder import context
from parity.test_llama import BAR, relative_error, stepwise

from llm_export import api
from llm_export.config.checks import find_problems, resolved_attention
from llm_export.config.schema import AttentionKind, CheckpointConfig, ModelConfig, Recipe
from llm_export.errors import CheckpointError, EnvironmentProblem
from llm_export.models.definitions.hf import attention_kinds
from llm_export.models.load import load_model
from llm_export.pipeline.artifacts import Start
from llm_export.stages.export import export
from llm_export.stages.load import load
from llm_export.stages.lower import lower
from llm_export.stages.transform import transform
from llm_export.stages.verify import eager_logits
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from runtime_py.program import Program

CONTEXT = 64
IDS = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(1)).tolist()

# Family -> whether the fused operators compute its attention.
FAMILIES = {
    "gpt_neox": True, "opt": True, "falcon": False, "falcon alibi": False, "cohere": True,
    "glm4": True, "mpt": False, "bloom": False, "gpt2": True, "llama": True, "mistral": False,
    "mixtral": True, "qwen3_moe": True, "gemma2": False, "gemma3_text": False, "gpt_oss": False,
    "deepseek_v3": False,
}  # fmt: skip


def recipe_for(folder: Path, *overrides: str) -> Recipe:
    composed = api.compose_recipe(
        None, ["model=tiny", f"runtime.context_length={CONTEXT}", "runtime.prefill_length=32",
               "benchmark=off", "verify.window=64", *overrides]
    )  # fmt: skip
    raw = json.loads((folder / "config.json").read_text())
    model = ModelConfig(name="m", definition="hf", family=raw["model_type"], config=raw)
    return replace(
        composed.recipe, model=model, checkpoint=CheckpointConfig(path=str(folder))
    )


def logits_of(reference: Any) -> torch.Tensor:
    with torch.no_grad():
        return reference(torch.tensor([IDS]), use_cache=False).logits[0]


def check_eager(reference: Any, folder: Path, fused: bool | None = None) -> None:
    """Every attention kind that the definition claims against ``reference``: the whole text
    at once, and a chunk and then token by token through the cache."""
    expected, recipe = logits_of(reference), recipe_for(folder)
    assert find_problems(recipe) == []
    kinds = attention_kinds(recipe)
    assert fused is None or ("custom_op" in kinds) == fused
    load_one = load_model(recipe, attention="cacheless", context_length=CONTEXT, all_logits=True)
    assert relative_error(eager_logits(load_one.model, IDS), expected) < BAR
    model = load_model(recipe, attention="plain", context_length=CONTEXT, all_logits=True).model
    assert relative_error(eager_logits(model, IDS), expected) < BAR, "plain, prefill"
    for kind in (k for k in kinds if k != "cacheless"):
        run_transform(exchange(kind), model)
        assert relative_error(stepwise(model, IDS, 7), expected) < BAR, f"{kind}, decode"
        # What the cache held before must not show.
        again = stepwise(model, IDS[:9], 5)
        assert relative_error(again, expected[:9]) < BAR, f"{kind}, again"


def check_program(reference: Any, folder: Path, out: Path, backend: str) -> None:
    """The program on disk against ``reference``: a chunk, then token by token."""
    expected, ctx = logits_of(reference), context(out)
    recipe = recipe_for(folder, f"backend={backend}", "runtime.logits=all")
    with torch.no_grad():
        exported = export(transform(load(Start(), recipe, ctx), recipe, ctx), recipe, ctx)
    lowered = lower(exported, recipe, ctx)
    program = Program(
        lowered.program_file, context_length=CONTEXT, prefill_length=32, dynamic=True
    )
    rows = [program.step(IDS[:7])[0], *(program.step([i])[0] for i in IDS[7:])]
    assert relative_error(torch.cat(rows), expected) < BAR


@pytest.fixture
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    reference = hf_families.build(request.param)
    return reference, hf_models.save(reference, tmp_path / "m")


@pytest.mark.parametrize(
    ("saved", "fused"), FAMILIES.items(), indirect=["saved"], ids=list(FAMILIES)
)
def test_eager_agrees_with_transformers(saved: tuple[Any, Path], fused: bool) -> None:
    check_eager(*saved, fused)


ON_DISK = {
    "gpt_neox": "xnnpack", "opt": "portable", "falcon": "portable", "cohere": "xnnpack",
    "glm4": "xnnpack", "mpt": "xnnpack", "mistral": "xnnpack", "qwen3_moe": "portable",
    "gemma3_text": "portable",
}  # fmt: skip


@pytest.mark.parametrize(
    ("saved", "backend"), ON_DISK.items(), indirect=["saved"], ids=list(ON_DISK)
)
def test_the_program_agrees_with_transformers(
    saved: tuple[Any, Path], backend: str, tmp_path: Path
) -> None:
    check_program(*saved, tmp_path, backend)
