"""The interface of rounding methods."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.config.quant_schema import RoundingConfig
    from llm_export.quant.grid import Grid, GridSpec


class Needs(str, Enum):
    """What a rounding method has to know of the inputs of a linear."""

    nothing = "nothing"
    squares = "squares"
    """Mean squares [K] of the float model's inputs: one pass. It can do without them."""
    products = "products"
    """The sum of x x^T, [K, K], of what the quantized layers before it make."""


class Rounder(Protocol):
    """A rounding method; one object per method.

    Attributes:
        needs: what it needs of the calibration text.
        costly: whether finished layers should be saved to disk, to resume a killed run.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def costly(self) -> bool: ...

    def configured(self, settings: RoundingConfig) -> Rounder:
        """The same method with the recipe's settings."""
        ...

    def round(self, weight: Tensor, spec: GridSpec, inputs: Tensor | None) -> Grid:
        """Quantize a weight float32 [N, K].

        Args:
            inputs: what ``needs`` says, float32, if there is a calibration text.
        """
        ...


class Rounded(NamedTuple):
    """A quantized weight, and how it was rounded.

    Attributes:
        how: "kept" if the weight was already quantized, else the rounding method.
        sqnr_db: SQNR of the quantized weight; see ``quant.grid.sqnr``.
        training_db: SQNR to the values that replaced the weight in quantization-aware training;
            None without it.
    """

    grid: Grid
    how: str
    sqnr_db: float
    training_db: float | None = None
