"""The text of an override, parsed alone: forty times as many as can be composed in the time."""

from __future__ import annotations

import os
import random

import pytest
from hostile.any_recipe import override
from hostile.outcomes import Outcomes

from llm_export.config.compose import Composer


def spoil(seeds: range) -> None:
    outcomes, composer = Outcomes("recipes"), Composer()
    for seed in seeds:
        word = override(random.Random(seed))
        outcomes.attempt(
            "overrides alone", f"seed {seed} {word}", lambda word=word: composer.values([word])  # type: ignore[misc]
        )  # fmt: skip
    outcomes.finish()


def test_any_word_is_parsed_or_refused_in_words() -> None:
    spoil(range(300))


@pytest.mark.release
def test_many_words() -> None:
    spoil(range(10**7, 10**7 + int(os.environ.get("LLM_EXPORT_HOSTILE_TRIES", "100000"))))
