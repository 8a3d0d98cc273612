"""The shipped models that see: as many parameters as the published weights."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from llm_export.models.vision.config import VisionConfig
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.model import build_on_meta

# Parameters of the published weights, a tied matrix once; tokens of an image or tile.
PUBLISHED = {
    "gemma3_4b": (4_300_079_472, 256),
    "internvl3_1b": (938_193_024, 256),
    "lfm2_vl_450m": (450_822_656, 256),
    # The two frames of a patch have their weights added up: with both, 2,127,532,032.
    "qwen3_vl_2b": (2_126_745_600, 256),
    "smolvlm2_256m": (256_484_928, 64),
    "smolvlm2_500m": (507_482_304, 64),
}

FILES = {
    file.name.removesuffix(".yaml"): file
    for file in resources.files("llm_export.conf").joinpath("model").iterdir()
    if file.name.endswith(".yaml") and "  task: see\n" in file.read_text()
}


def facts(option: str) -> VisionConfig:
    model = yaml.safe_load(FILES[option].read_text())["model"]
    return VISION_FAMILIES.get(model["family"]).read(model["config"])


def test_each_model_is_here() -> None:
    assert set(FILES) - set(PUBLISHED) == {"tiny_see"}


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_has_the_parameters_of_the_published_weights(option: str) -> None:
    config = facts(option)
    parameters = build_on_meta(config, 64, "plain", False).parameters()
    assert (sum(p.numel() for p in parameters), config.tokens_per_image) == PUBLISHED[option]


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_names_itself_its_weights_and_their_licence(option: str) -> None:
    text = FILES[option].read_text()
    body = yaml.safe_load(text)
    assert body["model"]["name"] == option
    assert body["checkpoint"]["hf_id"]
    assert "(" in text.splitlines()[1], "the second line says the licence in parentheses"
    assert len(body["model"]["description"]) <= 90
