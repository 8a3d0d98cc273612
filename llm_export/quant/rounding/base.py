"""What a rounding method is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.config.quant_schema import RoundingConfig
    from llm_export.quant.grid import Grid, GridSpec


class Rounder(Protocol):
    """One object a method.

    Attributes:
        needs_inputs: whether it reads what the matrix is multiplied with.
        costly: whether finished layers are worth keeping on disk, for a run that is killed.
    """

    @property
    def needs_inputs(self) -> bool: ...

    @property
    def costly(self) -> bool: ...

    def configured(self, settings: RoundingConfig) -> Rounder:
        """The same method with the recipe's settings."""
        ...

    def round(self, weight: Tensor, spec: GridSpec, hessian: Tensor | None) -> Grid:
        """Values of the grid for a weight float32 [N, K].

        Args:
            hessian: sum of x x^T over calibration inputs, float32 [K, K], if ``needs_inputs``.
        """
        ...


class Rounded(NamedTuple):
    """A matrix on its grid.

    Attributes:
        how: "kept" if it was there already, else the method that brought it there.
        sqnr_db: of the grid's values against the weight; see ``quant.grid.sqnr``.
    """

    grid: Grid
    how: str
    sqnr_db: float
