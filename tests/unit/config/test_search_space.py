"""Hydra's sweep syntax as a search space."""

from __future__ import annotations

import pytest

from llm_export.config.compose import Composer
from llm_export.config.search_space import Parameter, search_space
from llm_export.errors import RecipeError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("quant=none,8da8w", Parameter("quant", ("none", "8da8w"))),
        ("quant.group_size=choice(32,64,32)", Parameter("quant.group_size", ("32", "64"))),
        ("runtime.context_length=range(64,256,64)",
         Parameter("runtime.context_length", ("64", "128", "192"))),
        ("quant.smooth.alpha=interval(0.1,0.5)", Parameter("quant.smooth.alpha", (), 0.1, 0.5)),
        ("quant.awq.steps=interval(4,20)", Parameter("quant.awq.steps", (), 4, 20, whole=True)),
        ("benchmark.depth=interval(16,64)",
         Parameter("benchmark.depth", (), 16, 64, whole=True)),
        ("train.learning_rate=tag(log, interval(1e-5,1e-3))",
         Parameter("train.learning_rate", (), 1e-5, 1e-3, log=True)),
    ],
)  # fmt: skip
def test_each_form_spans_what_it_says(composer: Composer, word: str, expected: Parameter) -> None:
    parameters, fixed = search_space(composer, ["model=tiny", word, "benchmark=off"])
    assert parameters == (expected,)
    assert fixed == ["model=tiny", "benchmark=off"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=tiny"], "nothing is searched over"),
        (["quant.smooth.alpha=interval(0.5,0.1)"], "no interval"),
        (["train.learning_rate=tag(log, interval(0.0,1.0))"], "a log scale begins above 0"),
        (["runtime.context_length=tag(log, range(1,9,2))"], "no log scale"),
        (["quant=none,8da8ww"], "there is no quant '8da8ww'"),
        (["quant=none,"], "override"),
        (["quant.awq.steps=interval(0.5,4)"], "quant.awq.steps takes integers"),
        (["quant.kv_cache=interval(0,1)"], "an interval is of numbers"),
        (["quant=interval(0,1)"], "an interval is of numbers"),
    ],
)
def test_what_spans_nothing_is_refused(composer: Composer, words: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        search_space(composer, words)
    assert said in str(caught.value)


def test_values_are_written_as_overrides_take_them() -> None:
    assert Parameter("k", (), 0.0, 1.0).text(0.123456789) == "0.123457"
    assert Parameter("k", (), 1, 9, whole=True).text(3.0) == "3"
    assert Parameter("k", ("a", "b")).text("b") == "b"
