"""The verification results stored in a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.bundle.verdict import Verdict
from llm_export.json_data import INLINE, OPTIONAL
from llm_export.metrics.interval import Interval


@dataclass(frozen=True)
class ComparisonResult:
    """Next-token distributions of a program and a reference.

    ``result.mean_kl`` is the value of that name.

    Attributes:
        intervals: name -> 95 % confidence interval, of the metrics that are means over positions;
            None if there are too few windows.
        values: name -> value, of every metric of ``llm_export.metrics``. JSON has them beside
            the number of positions.
    """

    positions: int
    intervals: Mapping[str, Interval] | None = field(default=None, kw_only=True, metadata=OPTIONAL)
    values: Mapping[str, float] = field(metadata=INLINE)

    def value(self, name: str) -> float:
        """NaN if no metric gave one of this name."""
        return self.values.get(name, math.nan)

    def __getattr__(self, name: str) -> float:
        # Reached only for what is no field; "values" itself while a copy is being made.
        if name.startswith("_") or name == "values" or name not in self.values:
            raise AttributeError(name)
        return self.values[name]


@dataclass(frozen=True)
class Comparisons:
    """
    Attributes:
        lowering: the program against the eager model as exported.
        quality: the program against the float32 model.
        floor: the eager model as exported against itself, its inputs perturbed.
    """

    lowering: ComparisonResult
    quality: ComparisonResult
    floor: ComparisonResult | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Proof:
    """
    Attributes:
        verdict: what the comparisons say in a word; None if nothing was compared.
        verified: whether the program was run and passed verification; ``reason`` says why not.
    """

    verdict: Verdict | None = field(default=None, kw_only=True, metadata=OPTIONAL)
    verified: bool
    reason: str | None = field(default=None, metadata=OPTIONAL)
    positions: int | None = field(default=None, metadata=OPTIONAL)
    comparisons: Comparisons | None = field(default=None, metadata=OPTIONAL)
