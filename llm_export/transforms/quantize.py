"""Quantize weights by the recipe's rules."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from llm_export.errors import PostConditionError
from llm_export.quant.apply import is_quantized, quantize
from llm_export.quant.rules import Choice
from llm_export.transforms.base import Transform


def by_choices(choices: Sequence[Choice]) -> Transform:
    """A transform that quantizes exactly the chosen modules."""

    def apply(model: nn.Module) -> int:
        return quantize(model, choices)

    def check(model: nn.Module) -> None:
        for choice in choices:
            done = is_quantized(model.get_submodule(choice.name).weight)  # type: ignore[arg-type]
            if done != (choice.scheme != "none"):
                state = "is" if done else "is not"
                raise PostConditionError(
                    f"'{choice.name}' {state} quantized; its scheme is {choice.scheme}"
                )

    return Transform("quantize", apply, check)
