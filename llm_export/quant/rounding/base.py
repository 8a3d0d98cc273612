"""What a rounding method is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.quant.grid import Grid, GridSpec


class Rounder(Protocol):
    """One object a method.

    Attributes:
        needs_inputs: whether it reads what the matrix is multiplied with.
    """

    @property
    def needs_inputs(self) -> bool: ...

    def round(self, weight: Tensor, spec: GridSpec, hessian: Tensor | None) -> Grid:
        """Values of the grid for a weight float32 [N, K].

        Args:
            hessian: sum of x x^T over calibration inputs, float32 [K, K], if ``needs_inputs``;
                may be None for a matrix that no calibration token reached.
        """
        ...
