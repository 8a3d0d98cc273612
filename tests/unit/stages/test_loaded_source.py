"""The load stage reads a checkpoint a second time, and what it finds reaches the proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from lora_models import save_adapter
from parity_tools import recipe_for
from stage_tools import transformed_of

from llm_export import api
from llm_export.config.schema import AdapterMode, OptionalCheck, Recipe
from llm_export.errors import VerificationError
from llm_export.models.definitions.base import LoadedModel
from llm_export.pipeline.artifacts import Loaded, Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stage_cache.model_serializers import TRANSFORMED
from llm_export.stages import load as stage
from llm_export.stages.verification import source_check

WORDS = ["runtime.context_length=64", "runtime.prefill_length=16", "verify.positions=20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save(hf_models.llama(num_hidden_layers=1), tmp_path_factory.mktemp("m") / "m")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    return recipe_for(folder, *WORDS)


def verifying(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, verify=replace(recipe.verify, **changes))


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    return RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("load"))


def loaded(recipe: Recipe, ctx: RunContext) -> Loaded:
    return stage.load(Start(), resolve(recipe), ctx)


def misread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our reader lose the last norm's weights."""
    read: Callable[..., LoadedModel] = stage.load_model

    def wrongly(*args: Any, **options: Any) -> LoadedModel:
        found = read(*args, **options)
        torch.nn.init.ones_(found.model.get_submodule("norm").weight)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(stage, "load_model", wrongly)


def test_a_misread_checkpoint_fails_before_any_other_stage(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    misread(monkeypatch)
    begun: list[str] = []
    recipe = replace(recipe, out=str(tmp_path / "out"))
    with pytest.raises(VerificationError, match=r"logits differ by .* of the largest, most at"):
        api.run(recipe, quiet=True, progress=lambda name, done, total: begun.append(name))
    assert set(begun) == {"load"}


def test_what_was_found_comes_with_the_model(recipe: Recipe, ctx: RunContext) -> None:
    found = loaded(recipe, ctx)
    comparison = found.source.comparison
    assert comparison is not None
    assert (comparison.positions, comparison.chats, dict(comparison.skipped)) == (64, 4, {})
    assert ctx.record.facts["source"] == str(comparison)
    # Nothing of the text is left in the caches.
    buffers = {name: b for name, b in found.model.named_buffers() if "cache" in name}
    assert buffers
    assert not any(buffer.any() for buffer in buffers.values())


@dataclass
class _Past:
    recipe: Recipe
    bundle: Path

    def file(self, name: str) -> Path:
        return self.bundle / name

    def artifact(self, stage: str) -> Any:
        raise AssertionError(stage)


@pytest.mark.parametrize("how", [OptionalCheck.auto, OptionalCheck.skip])
def test_a_model_from_the_cache_has_it_too(
    recipe: Recipe, ctx: RunContext, how: OptionalCheck
) -> None:
    recipe = verifying(recipe, source=how)
    made = transformed_of(recipe, ctx)
    facts = json.loads(json.dumps(TRANSFORMED.write(made, ctx.bundle)))
    again = TRANSFORMED.read(facts, _Past(recipe, ctx.bundle))
    assert (again.source.comparison is None) == (how is OptionalCheck.skip)
    assert again.source.comparison == made.source.comparison


@pytest.mark.parametrize("off", [{"enabled": False}, {"source": OptionalCheck.skip}])
def test_what_is_off_stays_off(
    recipe: Recipe, ctx: RunContext, monkeypatch: pytest.MonkeyPatch, off: dict[str, Any]
) -> None:
    misread(monkeypatch)
    assert loaded(verifying(recipe, **off), ctx).source.comparison is None


def test_a_separate_adapter_is_compared_where_it_is_merged(
    recipe: Recipe, ctx: RunContext, tmp_path: Path
) -> None:
    save_adapter(hf_models.llama(num_hidden_layers=1), tmp_path / "lora", r=2)
    apart = replace(
        recipe.checkpoint, adapter=str(tmp_path / "lora"), adapter_mode=AdapterMode.separate
    )
    comparison = loaded(
        replace(verifying(recipe, source=OptionalCheck.require), checkpoint=apart), ctx
    ).source.comparison
    assert comparison is not None
    assert comparison.positions == 64
    assert comparison.error is not None
    assert comparison.error < 1e-5


def test_the_verify_stage_takes_it_unless_more_is_required(
    recipe: Recipe, ctx: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(source_check, "available_memory", lambda: 1000)
        source = loaded(recipe, ctx).source
    comparison = source.comparison
    assert comparison is not None
    assert "positions" in comparison.skipped

    def asked() -> torch.Tensor:
        raise RuntimeError("it is compared again")

    assert source_check.compare_source(recipe, source, [1, 2], asked) is comparison
    required = verifying(recipe, source=OptionalCheck.require)
    with pytest.raises(RuntimeError, match="it is compared again"):
        source_check.compare_source(required, source, [1, 2], asked)
