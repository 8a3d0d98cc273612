"""When a tune stops: after so many runs, or so much time of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.errors import RecipeError

_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DEFAULT = "20runs"


@dataclass(frozen=True)
class Budget:
    """
    Attributes:
        runs: that may begin in all, those of former commands among them; None: any number.
        seconds: of all runs, after which none begins; None: any time.
    """

    runs: int | None = None
    seconds: float | None = None

    def spent(self, runs: int, seconds: float) -> str:
        """Why no further run begins; empty if one may."""
        if self.runs is not None and runs >= self.runs:
            return f"{runs} of {self.runs} runs are done"
        if self.seconds is not None and seconds >= self.seconds:
            return f"{seconds:.0f} of {self.seconds:.0f} seconds are spent"
        return ""


def budget_of(words: Sequence[str]) -> Budget:
    """From texts such as 20runs, 2h and 90min; of several, the first that is spent ends it.

    Raises:
        RecipeError: one is no budget.
    """
    runs: list[int] = []
    seconds: list[float] = []
    for word in (part.strip() for text in words or [DEFAULT] for part in text.split(",")):
        match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(runs?|s|min|m|h|d)", word, re.ASCII)
        if match is None or float(match[1]) <= 0 or (match[2][:3] == "run" and "." in match[1]):
            raise RecipeError(
                f"'{word}' is no budget", where="--budget",
                fix="--budget 20runs, --budget 2h, --budget 90min, or several of them",
            )  # fmt: skip
        if match[2].startswith("run"):
            runs.append(int(match[1]))
        else:
            seconds.append(float(match[1]) * _UNITS[match[2]])
    return Budget(min(runs, default=None), min(seconds, default=None))
