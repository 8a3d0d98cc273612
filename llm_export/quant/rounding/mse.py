"""Scales with the least squared error, weighted by the inputs' mean squares; round to nearest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.rounding.base import Needs
from llm_export.quant.rounding.scales import best_grid, damped


@dataclass(frozen=True)
class MSE:
    """Attributes: see ``RoundingConfig``."""

    needs: Needs = Needs.squares
    costly: bool = False
    damping: float = RoundingConfig.damping

    def configured(self, settings: RoundingConfig) -> MSE:
        return replace(self, damping=settings.damping)

    def round(self, weight: Tensor, spec: GridSpec, inputs: Tensor | None = None) -> Grid:
        """Without ``inputs``, all columns count the same."""
        return best_grid(weight, spec, None if inputs is None else damped(inputs, self.damping))


ROUNDER = MSE()
