"""Rounding methods, by name. Importing this package imports no torch."""

from llm_export.quant.rounding.base import Rounder
from llm_export.registry import Registry

ROUNDERS: Registry[Rounder] = Registry("rounding method")
ROUNDERS.register("minmax", "llm_export.quant.rounding.minmax:ROUNDER")
ROUNDERS.register("mse", "llm_export.quant.rounding.mse:ROUNDER")
ROUNDERS.register("hqq", "llm_export.quant.rounding.hqq:ROUNDER")
ROUNDERS.register("gptq", "llm_export.quant.rounding.gptq:ROUNDER")
