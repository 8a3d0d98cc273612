"""The numbers of a variant's results: how each is called and written, and which direction is
better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from llm_export.metrics import columns as metric_columns
from llm_export.metrics.value import Value
from llm_export.sweep.state import Results


@dataclass(frozen=True)
class Measure:
    """A number of a bundle.

    Attributes:
        value: how it is called and written, and which direction is better.
        get: it, in the unit of ``value``; None if it was not measured.
        stage: part of a recipe that must be enabled for it; empty if every bundle has it.
        speed: whether other processes disturb it.
    """

    value: Value
    get: Callable[[Results], float | None]
    stage: str = ""
    speed: bool = False

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def maximize(self) -> bool:
        return bool(self.value.higher_is_better)

    def rank(self, results: Results) -> float | None:
        """A number that is the less, the better; None if it was not measured, or neither direction
        is better."""
        value = self.get(results)
        return None if value is None else self.value.rank(value)

    def show(self, results: Results) -> str | None:
        """In a narrow table; None if it was not measured."""
        value = self.get(results)
        return None if value is None else self.value.short(value)


def _field(name: str, scale: float, results: Results) -> float | None:
    value = getattr(results, name)
    return None if value is None else scale * value


def _cost(value: Value, name: str = "", stage: str = "benchmark", *, scale: float = 1.0,
          speed: bool = False) -> Measure:  # fmt: skip
    """A field of ``Results``, in its unit times ``scale``."""
    return Measure(value, partial(_field, name or value.name, scale), stage, speed)


SIZE = _cost(Value("pte_mb", "size", "MB", False, "MB", "{:.1f}"), stage="")
DECODE = _cost(Value("decode", "decode", "tokens/s", True, form="{:.1f}"), speed=True)
COSTS = (
    SIZE,
    _cost(Value("first_token", "time to first token", "s", False, "TTFT s"), speed=True),
    _cost(Value("prefill", "prefill", "tokens/s", True, form="{:.0f}", brief=False), speed=True),
    DECODE,
    _cost(Value("memory_mb", "peak memory", "MB", False, "RAM MB", "{:.0f}"), "memory", scale=1e-6),
)
"""What an app pays for a program."""


def of_metrics() -> list[Measure]:
    """Of the program against the float32 model."""
    return [Measure(v, partial(_metric, v.name), "verify") for v in metric_columns()]


def of_evaluation(key: str, value: Value) -> Measure:
    """A value of an evaluation task, by its key TASK.VALUE in the results."""
    return Measure(value, partial(_evaluated, key), "evaluate")


def _metric(name: str, results: Results) -> float | None:
    return results.values.get(name)


def _evaluated(key: str, results: Results) -> float | None:
    found = results.evaluated.get(key)
    return None if found is None else found.number
