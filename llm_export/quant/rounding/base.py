"""The interface of rounding methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.config.quant_schema import RoundingConfig
    from llm_export.quant.grid import Grid, GridSpec


class Rounder(Protocol):
    """A rounding method; one object per method.

    Attributes:
        needs_inputs: whether it needs calibration inputs of the linear.
        costly: whether finished layers should be saved to disk, to resume a killed run.
    """

    @property
    def needs_inputs(self) -> bool: ...

    @property
    def costly(self) -> bool: ...

    def configured(self, settings: RoundingConfig) -> Rounder:
        """The same method with the recipe's settings."""
        ...

    def round(self, weight: Tensor, spec: GridSpec, hessian: Tensor | None) -> Grid:
        """Quantize a weight float32 [N, K].

        Args:
            hessian: sum of x x^T over calibration inputs, float32 [K, K], if ``needs_inputs``.
        """
        ...


class Rounded(NamedTuple):
    """A quantized weight, and how it was rounded.

    Attributes:
        how: "kept" if the weight was already quantized, else the rounding method.
        sqnr_db: SQNR of the quantized weight; see ``quant.grid.sqnr``.
    """

    grid: Grid
    how: str
    sqnr_db: float
