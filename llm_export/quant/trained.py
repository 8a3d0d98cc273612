"""Which weights were trained with fake quantization. Does not import torch: recipe checks ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llm_export.config.name_patterns import matches_name
from llm_export.config.qat_schema import QatConfig
from llm_export.errors import RecipeError
from llm_export.quant.layer_spec import LayerQuantSpec


def with_training(
    choices: Iterable[LayerQuantSpec], settings: QatConfig
) -> tuple[LayerQuantSpec, ...]:
    """Mark the specs of modules that were trained with fake quantization with ``settings``.

    Raises:
        RecipeError: no module was trained so.
    """
    found = [
        replace(choice, qat=settings) if is_trained(choice, settings) else choice
        for choice in choices
    ]
    if settings.enabled and all(choice.qat is None for choice in found):
        kinds = ", ".join(kind.value for kind in settings.kinds)
        raise RecipeError(
            f"no module that the rules quantize is of quant.qat: kinds {kinds}, "
            f"pattern {settings.pattern}",
            where="quant.qat", fix="other kinds or another pattern, or quant.qat.enabled=false",
        )  # fmt: skip
    return tuple(found)


def is_trained(choice: LayerQuantSpec, settings: QatConfig) -> bool:
    quantized = settings.enabled and choice.on_grid and choice.kind in settings.kinds
    return quantized and matches_name(settings.pattern, choice.name)
