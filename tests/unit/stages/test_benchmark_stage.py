"""What the recipe says of the benchmark is what is measured."""

from __future__ import annotations

import argparse

import pytest

from llm_export import api
from llm_export.errors import LlmExportError
from llm_export.resolve.recipe import resolve
from llm_export.stages.benchmark import _arguments
from runtime_py.benchmark.arguments import add_arguments, settings_of


def test_every_key_reaches_the_measurement() -> None:
    recipe = api.compose_recipe(None, [
        "model=tiny", "benchmark=full", "benchmark.prompt_length=[16,64]",
        "benchmark.depth=[0,100]", "benchmark.threads=1",
        "benchmark.sustained_seconds=5", "benchmark.max_seconds=30",
    ]).recipe  # fmt: skip
    parser = argparse.ArgumentParser()
    add_arguments(parser, "3")
    words = _arguments(resolve(recipe).recipe.benchmark)
    assert settings_of(parser.parse_args(words)) == {
        "prompt_length": [16, 64], "decode_length": [128], "depth": [0, 100], "threads": [1],
        "repetitions": 10, "max_seconds": 30.0, "sustained": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("benchmark.depth=[0,-1]", "must be a whole number of at least 0, or a list of them"),
        ("benchmark.prompt_length=[]", "must be a whole number of at least 1, or a list of them"),
        ("benchmark.threads=two", "must be a whole number of at least 1, or a list of them"),
        ("benchmark.sustained_seconds=-1", "must be a number of seconds"),
    ],
)
def test_wrong_numbers_are_told(word: str, expected: str) -> None:
    with pytest.raises(LlmExportError) as caught:
        api.compose_recipe(None, ["model=tiny", word])
    assert expected in str(caught.value)
    assert word.partition("=")[0] in str(caught.value)
