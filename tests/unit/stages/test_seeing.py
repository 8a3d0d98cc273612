"""What a program sees is compared with what its model sees."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from llm_export import api
from llm_export.config.schema import Thresholds
from llm_export.errors import InputError
from llm_export.models.load_model import load_model
from llm_export.models.task import MODEL_TASKS
from llm_export.models.vision.model import VisionLanguageModel
from llm_export.resolve.recipe import resolve
from llm_export.stages.verification.seeing import (
    SeeingLimits,
    Sight,
    measures,
    pictures,
    seeing_limits,
    seen_by_model,
    sight,
)
from llm_export.stages.verification.seeing_run import Seeing

WORDS = ["model=tiny_see", "runtime.context_length=48"]
TEXT = list(range(20, 60))
LIMITS = SeeingLimits(2e-3, 0.95, Thresholds(max_mean_kl=1e-3), Thresholds(max_mean_kl=0.3), 4.0)


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    made = load_model(
        api.compose_recipe(None, WORDS).recipe,
        attention="plain", context_length=48, all_logits=False,
    ).model  # fmt: skip
    assert isinstance(made, VisionLanguageModel)
    return made


@pytest.fixture(scope="module")
def shown(model: VisionLanguageModel) -> Sight:
    return sight(model, TEXT)


def test_pictures_are_the_same_in_every_run_and_differ() -> None:
    made, again = pictures(16, 24), pictures(16, 24)
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    assert {tuple(each.shape) for each in made} == {(1, 3, 16, 24)}
    assert all(each.abs().max() <= 1 for each in made)
    assert not any(torch.equal(made[0], other) for other in made[1:])


def test_a_model_sees_as_itself(model: VisionLanguageModel, shown: Sight) -> None:
    seen = seen_by_model(model, shown)
    assert [len(rows) for rows in seen.logits] == [len(shown.after) + 1] * len(shown.pictures)
    found = {m.name: m for m in measures(seen, seen, seen, None, shown, LIMITS)}
    assert found["encoder_error"].value == 0
    assert found["encoder_cosine"].value == pytest.approx(1)
    assert found["image_top1"].value == 1
    assert all(m.kept for m in found.values())
    assert set(found) == set(MODEL_TASKS.get("see").measures)


def test_the_text_depends_on_the_image(model: VisionLanguageModel, shown: Sight) -> None:
    first, second, *_ = seen_by_model(model, shown).logits
    assert not torch.allclose(first, second, rtol=1e-3)


def test_a_damaged_tower_is_found(model: VisionLanguageModel, shown: Sight) -> None:
    damaged = copy.deepcopy(model)
    weight = damaged.get_parameter("tower.layers.0.attention.q.weight")
    with torch.no_grad():
        weight[: len(weight) // 2] = weight[: len(weight) // 2].flip(0)
    good, bad = seen_by_model(model, shown), seen_by_model(damaged, shown)
    noisy = seen_by_model(model, shown, noise=True)
    found = {m.name: m for m in measures(bad, good, good, noisy, shown, LIMITS)}
    assert not found["encoder_error"].kept
    assert "vision encoder's relative error" in found["encoder_error"].problem()


def test_a_program_that_does_not_run_here_is_judged_by_its_model(
    model: VisionLanguageModel, shown: Sight
) -> None:
    seen = seen_by_model(model, shown)
    names = [m.name for m in measures(None, seen, seen, None, shown, LIMITS)]
    assert names == ["encoder_cosine", "image_quality_kl", "image_top1"]


def test_limits_of_a_recipe() -> None:
    words = [*WORDS, "+verify.limits.encoder_error=0.5"]
    resolved = resolve(api.compose_recipe(None, words).recipe)
    assert seeing_limits(resolved, Thresholds()).stated == {"encoder_error": 0.5}
    half = resolve(api.compose_recipe(None, [*WORDS, "quant.rules=[{scheme: fp16}]"]).recipe)
    assert seeing_limits(half, Thresholds()).error > 0.02


def test_a_context_without_room_for_an_image_is_refused(model: VisionLanguageModel) -> None:
    config = replace(model.config, tokens_per_image=64)
    small = copy.copy(model)
    small.config = config
    with pytest.raises(InputError, match="an image takes 64 tokens, and the context has 48"):
        Seeing(small, TEXT)
