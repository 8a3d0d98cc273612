"""Every key with a scale says what its values trade, with an example that sets it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from llm_export.cli.main import main
from llm_export.config.key_trades import trades
from llm_export.config.reference import every_key

SEEDS = {"checkpoint.random_seed", "quant.rotate.seed", "train.seed"}
"""Any number is as good as another."""
KINDS = {key: kind for key, kind, _ in every_key()}
_NUMBER = r"((int|float)( or list of int)?( or null)?|list of int)$"
NUMBERS = {key for key, kind in KINDS.items() if re.match(_NUMBER, kind)}
ENUMS = {key for key, kind in KINDS.items() if " | " in kind}


def test_every_number_and_choice_has_its_trade() -> None:
    assert set(trades()) == (NUMBERS | ENUMS) - SEEDS
    for key, trade in trades().items():
        if key in NUMBERS:
            assert trade.larger, key
            assert trade.smaller, key
            assert trade.choices is None, key
        else:
            assert trade.choices, key


@pytest.mark.parametrize("key", list(trades()))
def test_its_example_sets_it_to_a_value_of_its_type(key: str) -> None:
    words = dict(word.split("=", 1) for word in trades()[key].example.split())
    value: Any = yaml.safe_load(words[key])
    kind = KINDS[key]
    if key in NUMBERS:
        every = value if "list of int" in kind and isinstance(value, list) else [value]
        assert all(isinstance(one, int if "int" in kind else int | float) for one in every)
    else:
        names = kind.removeprefix("list of ").removesuffix(" or null").split(" | ")
        assert set(value if isinstance(value, list) else [value]) <= set(names)
    for word in words:
        assert word in KINDS or "." not in word, f"{word} is no key"


def test_explain_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "quant.group_size"]) == 0
    text = capsys.readouterr().out
    assert "  larger     a smaller file" in text
    assert "  smaller    less rounding error" in text
    assert "  example    quant=8da4w quant.group_size=64" in text
    assert max(map(len, text.splitlines())) <= 100
    assert main(["explain", "train.seed"]) == 0
    assert "larger" not in capsys.readouterr().out
