"""Rounding methods, by name. Importing this package imports no torch."""

from llm_export.quant.rounding.base import Needs, Rounder
from llm_export.registry import Registry

ROUNDERS: Registry[Rounder] = Registry("rounding method")
ROUNDERS.register("minmax", "llm_export.quant.rounding.minmax:ROUNDER")
ROUNDERS.register("mse", "llm_export.quant.rounding.mse:ROUNDER")
ROUNDERS.register("hqq", "llm_export.quant.rounding.hqq:ROUNDER")
ROUNDERS.register("gptq", "llm_export.quant.rounding.gptq:ROUNDER")

_NEEDS = {"minmax": Needs.nothing, "mse": Needs.squares, "hqq": Needs.nothing,
          "gptq": Needs.products}  # fmt: skip


def needs_of(method: str) -> Needs:
    """What the method needs of the calibration text; of those above, without importing torch."""
    return _NEEDS[method] if method in _NEEDS else ROUNDERS.get(method).needs
