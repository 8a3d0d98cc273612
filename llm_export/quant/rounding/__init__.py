"""Rounding methods, by name. Importing this package imports no torch."""

from llm_export.quant.rounding.base import Rounder
from llm_export.registry import Registry

ROUNDERS: Registry[Rounder] = Registry("rounding method")
ROUNDERS.register("minmax", "llm_export.quant.rounding.minmax:ROUNDER")
