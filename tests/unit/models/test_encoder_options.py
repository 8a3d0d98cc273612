"""The shipped embedding models: as many parameters as the published weights, and sound options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
import torch
import yaml

from llm_export.config.composed import Composed
from llm_export.json_data import from_json, to_json
from llm_export.models.encoders.model import EncoderModel
from llm_export.models.encoders.options import EmbedOptions
from llm_export.models.programs.definition import build_on_meta
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.task import task_options

# Parameters of the published weights, without those of heads for other tasks.
PUBLISHED = {
    "bge_small_en": 33_212_160,
    # 302,863,104 of the encoder, and two dense layers.
    "embeddinggemma_300m": 307_581_696,
    "minilm_l6": 22_565_376,
    "modernbert_embed_base": 149_014_272,
    "qwen3_embedding_0_6b": 595_776_512,
}
TEXTS = {
    file.name.removesuffix(".yaml"): file.read_text()
    for file in resources.files("llm_export.conf").joinpath("model").iterdir()
    if file.name.endswith(".yaml") and "  task: embed" in file.read_text()
}


def built(option: str) -> EncoderModel:
    model = yaml.safe_load(TEXTS[option])["model"]
    family = TASK_FAMILIES.get(model["family"])
    made = build_on_meta(family, family.from_hf(model["config"]), 64)
    assert isinstance(made, EncoderModel)
    return made


def test_each_published_model_is_here() -> None:
    assert set(TEXTS) - set(PUBLISHED) == {"tiny_embed"}


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_has_the_parameters_of_the_published_weights(option: str) -> None:
    assert sum(p.numel() for p in built(option).parameters()) == PUBLISHED[option]


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_names_itself_its_weights_and_their_licence(option: str) -> None:
    text = TEXTS[option]
    body: dict[str, Any] = yaml.safe_load(text)
    assert body["model"]["name"] == option
    assert body["checkpoint"].get("hf_id") or body["checkpoint"].get("package")
    assert "(" in text.splitlines()[1], "the second line says the licence in parentheses"
    assert len(body["model"]["description"]) <= 90


def test_lists_and_mappings_compose(composed: Callable[..., Composed]) -> None:
    recipe = composed("model=embeddinggemma_300m", "model.task_options.dimensions=256").recipe
    options = task_options(recipe)
    assert options.matryoshka == [768, 512, 256, 128]
    assert options.prompts["query"] == "task: search result | query: "
    assert built("embeddinggemma_300m").settings(options)["dimensions"] == 256


@pytest.mark.parametrize("option", TEXTS)
def test_its_options_fit_it(option: str) -> None:
    stated = yaml.safe_load(TEXTS[option])["model"]["task_options"]
    options = from_json(EmbedOptions, {**to_json(EmbedOptions()), **stated})
    model = built(option)
    for size in options.matryoshka:
        told = model.settings(replace(options, dimensions=size))
        assert told["dimensions"] == size == told["matryoshka"][0]
    (method,) = model.methods(options, dynamic=True)
    with torch.device("meta"):
        ids = torch.zeros(2, 5, dtype=torch.int64)
        assert method.module(ids, torch.ones_like(ids)).shape == (
            2,
            model.settings(options)["dimensions"],
        )
