"""What all families of encoders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.options import plan_of

if TYPE_CHECKING:
    from llm_export.models.encoders.model import EncoderModel


def build(config: EncoderConfig, context_length: int) -> EncoderModel:
    """The model without values, on the current device."""
    from llm_export.models.encoders.model import EncoderModel

    return EncoderModel(config, context_length)


def context_limit(config: EncoderConfig) -> tuple[int, str]:
    return config.max_positions, f"the model has {config.max_positions} positions"


def check_options(config: EncoderConfig, options: Any, context_length: int | None) -> None:
    """Raises RecipeError if the task's options do not fit the model."""
    plan_of(options, config, context_length or config.max_positions)
