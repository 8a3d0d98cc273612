"""The space that overrides in Hydra's sweep syntax span, as plain data.

``KEY=A,B``, ``choice(A,B)`` and ``range(START,STOP,STEP)`` are choices. ``interval(LOW,HIGH)`` is
of numbers, of integers where the key takes those, and with ``tag(log,...)`` on a log scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    RangeSweep,
)

from llm_export.config.compose import Composer
from llm_export.config.reference import every_key
from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError

DIGITS = 6
"""Significant digits of a number that is drawn from an interval, so that names stay short."""


@dataclass(frozen=True)
class Parameter:
    """A key or group that is searched over.

    Attributes:
        key: as an override has it, with a leading + where the user wrote one.
        choices: its values as they are written; empty for an interval.
        low, high: ends of an interval, both of which belong to it.
        whole: of integers.
        log: on a log scale.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    def as_dict(self) -> dict[str, object]:
        """Its values, without the key."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {k: v for k, v in asdict(self).items() if k not in ("key", "choices")}

    def text(self, value: object) -> str:
        """A value as an override has it."""
        if self.choices:
            return str(value)
        return str(int(value)) if self.whole else f"{float(value):.{DIGITS}g}"  # type: ignore[call-overload, arg-type]

    @property
    def first(self) -> str:
        return self.choices[0] if self.choices else self.text(self.low)


def search_space(
    composer: Composer, overrides: Sequence[str]
) -> tuple[tuple[Parameter, ...], list[str]]:
    """(parameters, overrides that are fixed).

    Raises:
        RecipeError: an override is wrong, or none of them spans a space.
    """
    parsed, _ = composer.parse_sweep(overrides)
    sweeps = [override for override in parsed if override.is_sweep_override()]
    swept = [_parameter(override) for override in sweeps]
    for override, parameter in zip(sweeps, swept, strict=True):
        if parameter.choices:
            composer.require_options(override)
    if not swept:
        raise RecipeError(
            "nothing is searched over", where="tune",
            fix="KEY=A,B or KEY=interval(LOW,HIGH), e.g. quant=8da4w,8da8w",
        )  # fmt: skip
    fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
    return tuple(swept), fixed


def _parameter(override: Override) -> Parameter:
    key, sweep = override.get_key_element(), override.value()
    where = f"override {override.input_line}"
    if isinstance(sweep, IntervalSweep):
        return _interval(key, sweep, where)
    if isinstance(sweep, RangeSweep) and "log" in sweep.tags:
        raise RecipeError("a range has steps, and no log scale", where=where,
                          fix="tag(log, interval(LOW,HIGH)), or choice(...)")  # fmt: skip
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise RecipeError("it holds no value", where=where, fix="KEY=A,B")
    return Parameter(key, values)


def _interval(key: str, sweep: IntervalSweep, where: str) -> Parameter:
    ends = (sweep.start, sweep.end)
    if any(e is None for e in ends):
        raise RecipeError("an interval needs both ends", where=where, fix="interval(LOW,HIGH)")
    low, high = (float(e) for e in ends if e is not None)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise RecipeError(f"no interval: {low:g} to {high:g}", where=where,
                          fix="interval(LOW,HIGH) with LOW below HIGH")  # fmt: skip
    log = "log" in sweep.tags
    if log and low <= 0:
        raise RecipeError("a log scale begins above 0", where=where, fix="a larger LOW")
    whole = _is_whole(key, where) or all(isinstance(e, int) for e in ends)
    if whole and not (low.is_integer() and high.is_integer()):
        raise RecipeError(f"{key} takes integers", where=where, fix="interval(4,20)")
    return Parameter(key, (), low, high, whole, log)


def _is_whole(key: str, where: str) -> bool:
    """Whether the key takes integers; of keys that are not in the schema nothing is known.

    Raises:
        RecipeError: it takes no numbers.
    """
    types = {name: kind for name, kind, _ in every_key()}
    kind = "mapping" if key in GROUPS else types.get(key.lstrip("+"))
    if kind is None:
        return False
    alternatives = kind.split(" or ")
    if not {"int", "float"} & set(alternatives):
        raise RecipeError(
            f"an interval is of numbers, and {key} takes none ({kind})", where=where,
            fix=f"{key}=A,B",
        )  # fmt: skip
    return "float" not in alternatives
