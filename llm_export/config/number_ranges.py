"""The ranges of numbers, which hold whether or not the rest of a recipe uses them."""

from __future__ import annotations

import math

from llm_export.config.plain_words import explained
from llm_export.errors import RecipeError

_RANGES = {
    "max_mean_kl": (0.0, math.inf, "must not be negative"),
    "min_top1": (0.0, 1.0, "must be between 0 and 1"),
    "max_logit_diff": (0.0, math.inf, "must not be negative"),
    "max_perplexity_ratio": (0.0, math.inf, "must not be negative"),
}
"""Last part of a key -> its least and largest value, and the rule."""
_LARGEST = 1 << 63


def require_bits(value: int, where: str, fix: str | None = None) -> None:
    """Check that a whole number is one that tensors and files can hold.

    Raises:
        RecipeError: it takes more than 64 bits.
    """
    if not -_LARGEST <= value < _LARGEST:
        raise too_many_bits(where, fix)


def too_many_bits(where: str | None, fix: str | None = None) -> RecipeError:
    """The error for a whole number of more than 64 bits."""
    return RecipeError(
        "a whole number must fit 64 bits, one of them its sign", where=where,
        fix=fix or "a number of at most 18 digits",
    )  # fmt: skip


def require_number(key: str, value: float) -> None:
    """Check that a number is one that a file or a tensor can hold, and within the range of its key.

    Raises:
        RecipeError: naming the key and the rule.
    """
    lowest, highest, rule = _RANGES.get(key.rpartition(".")[2], (-math.inf, math.inf, ""))
    if isinstance(value, int):
        require_bits(value, key, explained(key))
    if not math.isfinite(value):
        rule = f"must be a finite number{'' if not rule else '; null is no limit'}"
    elif lowest <= value <= highest:
        return
    raise RecipeError(rule, where=f"{key}={value}", fix=explained(key))
