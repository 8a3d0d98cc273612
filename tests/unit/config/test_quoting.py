"""Values that Hydra's grammar cannot read are answered with the quoted form."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export.config.compose import Composer
from llm_export.config.plain_yaml import parse_plain
from llm_export.config.quoting import quoted_override
from llm_export.errors import RecipeError

COMPOSER = Composer(None)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@given(TEXT | st.sampled_from(["a b(1)", "it's", "\\", "a\\'", "$x`y`", 'say "x"', "ä,b"]))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_quoted_value_is_read_as_it_was(value: str) -> None:
    (word,) = shlex.split(quoted_override(f"description={value}"))
    ((key, read),) = COMPOSER.values([word])
    assert key == "description"
    assert read == value or word == f"description={value}"  # a number, true, null


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("checkpoint.path=/tmp/a b(1).gguf", "\"checkpoint.path='/tmp/a b(1).gguf'\""),
        ("checkpoint.path=a=b", "\"checkpoint.path='a=b'\""),
        ("name=a:b,c", "\"name='a:b,c'\"; or -m, a sweep"),
        ("deploy.questions=[What (is]", "\"deploy.questions=['...', '...']\""),
    ],
)
def test_an_unreadable_value_is_answered_with_the_quoted_form(override: str, fix: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Composer(None).compose(["model=tiny", override])
    assert caught.value.where == f"override {override}"
    assert str(caught.value.fix).endswith(fix)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("runtime:\n  context_length: 64\nname: x\nruntime: {prefill_length: 8}\n", "1 and 4"),
        ("quant:\n  group_size: 32\n  group_size: 64\n", "2 and 3"),
        ("quant:\n  rules:\n    - {scheme: 8w, scheme: 4w}\n", "3 and 3"),
    ],
)
def test_a_key_that_is_there_twice_is_an_error(text: str, lines: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_plain(text.encode(), "r.yaml")
    assert f"is there twice, in lines {lines}" in caught.value.what
    assert str(caught.value.where).startswith("r.yaml:")
