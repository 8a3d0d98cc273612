"""What the values of recipe keys trade, from ``data/key_trades.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class Trade:
    """
    Attributes:
        larger, smaller: what a larger or smaller number gives and takes.
        choices: when to take which, of keys with named values.
        example: overrides that set the key.
    """

    example: str
    larger: str | None = None
    smaller: str | None = None
    choices: str | None = None

    def as_dict(self) -> dict[str, str]:
        """The parts that there are."""
        parts = {"larger": self.larger, "smaller": self.smaller, "choices": self.choices,
                 "example": self.example}  # fmt: skip
        return {name: text for name, text in parts.items() if text is not None}


@cache
def trades() -> dict[str, Trade]:
    """Key -> what its values trade."""
    text = resources.files("llm_export.data").joinpath("key_trades.yaml").read_text("utf-8")
    return {key: Trade(**body) for key, body in yaml.safe_load(text).items()}


def example_of(key: str) -> str | None:
    """An override that sets a key, or one of the keys below it; None where none is known."""
    below = (k for k in trades() if k == key or k.startswith(f"{key}."))
    found = next(below, None)
    return (
        next((w for w in trades()[found].example.split() if w.startswith(key)), None)
        if found
        else None
    )
