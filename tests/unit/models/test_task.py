"""What a recipe says of its task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_export import api
from llm_export.config.schema import ModelConfig, Recipe
from llm_export.errors import RecipeError
from llm_export.models.encoders.options import EmbedOptions
from llm_export.models.task import (
    MODEL_TASKS,
    NoOptions,
    definition_of,
    task_name,
    task_of,
    task_options,
)
from llm_export.resolve.auto_model import resolve_model


def model(**values: object) -> ModelConfig:
    return ModelConfig(**{"name": "x", "family": "llama", **values})  # type: ignore[arg-type]


def recipe(**values: object) -> Recipe:
    return Recipe(model=model(**values))


def test_a_family_of_one_task_has_it_and_a_decoder_generates() -> None:
    assert task_name(model()) == "generate"
    assert task_name(model(family="bert")) == "embed"
    # Decoders embed too, if that is asked for.
    assert task_name(model(family="qwen3")) == "generate"
    assert task_name(model(family="qwen3", task="embed")) == "embed"


def test_decoders_pass_the_decoder_s_stages() -> None:
    assert [name for name in MODEL_TASKS if MODEL_TASKS.get(name).decodes] == ["generate", "see"]
    assert task_of(model()).definitions.get("hf").name == "hf"


def test_an_unknown_definition() -> None:
    with pytest.raises(RecipeError, match="no model definition 'torchtune' for the task embed"):
        definition_of(model(family="bert", definition="torchtune"))


def test_options() -> None:
    assert task_options(recipe()) == NoOptions()
    stated = {"dimensions": 64, "pooling": "cls"}
    found = task_options(recipe(family="bert", task_options=stated))
    assert found == EmbedOptions(dimensions=64, pooling="cls")


@pytest.mark.parametrize(
    ("family", "stated", "what", "fix"),
    [
        ("bert", {"poling": "cls"}, "the task embed has no option 'poling'", "'pooling'"),
        ("llama", {"beams": 2}, "the task generate has no option 'beams'", "remove it"),
        ("bert", {"lengths": 3}, "not valid: lengths: not a list", ""),
    ],
)
def test_wrong_options(family: str, stated: dict[str, object], what: str, fix: str) -> None:
    with pytest.raises(RecipeError) as found:
        task_options(recipe(family=family, task_options=stated))
    assert what in str(found.value)
    assert fix in str(found.value)


def test_an_unknown_task_of_a_checkpoint() -> None:
    composed = api.compose_recipe(None, ["model=tiny"]).recipe
    asked = replace(composed, model=model(family="auto", definition="auto", task="embedd"))
    named = replace(asked, checkpoint=replace(asked.checkpoint, path="/nowhere"))
    with pytest.raises(RecipeError, match="there is no task 'embedd'") as found:
        resolve_model(named)
    assert "did you mean 'embed'?" in str(found.value)


@pytest.mark.parametrize(
    ("family", "task", "what"),
    [
        ("llama", "embed", "models of the family 'llama' generate, and cannot embed"),
        ("smolvlm", "generate", "models of the family 'smolvlm' see, and cannot generate"),
        ("bert", "see", "models of the family 'bert' embed, and cannot see"),
    ],
)
def test_a_family_of_another_task_is_named(family: str, task: str, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        definition_of(model(family=family, task=task, definition="composable"))
    assert definition_of(model(family="qwen3", task="embed", definition="composable"))
