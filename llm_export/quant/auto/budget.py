"""The user's size budget, in bytes of quantized weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.config.quant_schema import QuantConfig
from llm_export.errors import RecipeError
from llm_export.quant.auto.units import Unit
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.size import matrix_bytes, matrix_weights


@dataclass(frozen=True)
class Budget:
    """``bytes`` for all weights; ``words`` is the user's notation."""

    bytes: int
    words: str
    label: str
    """The budget in a form that is usable in names."""


def budget_of(quant: QuantConfig, units: Sequence[Unit], other_bytes: int) -> Budget:
    """The recipe's budget.

    Args:
        other_bytes: constants of the file that are not weights of linears or embeddings.

    Raises:
        RecipeError: the cheapest candidates do not fit it.
    """
    cheapest = [choice for unit in units for choice in unit.options[0].choices]
    dearest = [choice for unit in units for choice in unit.options[-1].choices]
    weights, least, most = (
        matrix_weights(cheapest), matrix_bytes(cheapest), matrix_bytes(dearest),
    )  # fmt: skip
    if quant.bits_per_weight is not None:
        value, key, unit = quant.bits_per_weight, "bits_per_weight", "bits per weight"
        budget, low, high = int(value * weights / 8), 8 * least / weights, 8 * most / weights
        label = f"{value:g}bpw"
    else:
        assert quant.file_megabytes is not None
        value, key, unit = quant.file_megabytes, "file_megabytes", "MB of constants"
        budget = int(value * 1e6) - other_bytes
        low, high = (least + other_bytes) / 1e6, (most + other_bytes) / 1e6
        label = f"{value:g}mb"
    if budget < least:
        raise RecipeError(
            f"the candidates cannot be as small as {value:g} {unit}: the smallest choice has "
            f"{_up(low)}, the largest {_up(high)}",
            where=f"quant.{key}",
            fix=f"quant.{key}={_up(low)} or more, or smaller candidates in quant.auto.candidates",
        )
    return Budget(budget, f"{value:g} {unit}", label)


def _up(value: float) -> str:
    """Rounded up, so that the result is a feasible budget."""
    digits = 3
    return f"{-(-value * 10**digits // 1) / 10**digits:.{digits}f}"


def spent(choices: Sequence[LayerQuantSpec], other_bytes: int) -> dict[str, float]:
    """The cost of a choice, in both units."""
    size = matrix_bytes(choices)
    return {
        "bits_per_weight": round(8 * size / matrix_weights(choices), 4),
        "file_megabytes": round((size + other_bytes) / 1e6, 3),
    }
