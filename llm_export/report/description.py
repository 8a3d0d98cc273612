"""Describe model and quantization from the values of the recipe.

An option's own description tells what the option is before overrides, so it is not used here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_export.checkpoints.open import describe_source
from llm_export.config.quant_schema import CacheDtype, QuantConfig, QuantRule
from llm_export.config.schema import Recipe
from llm_export.quant.schemes import SCHEMES


def describe_model(recipe: Recipe) -> str:
    """The model's name, its family and where the weights come from; of paths only the name, so
    that a report can be shared."""
    model, source = recipe.model, recipe.checkpoint
    family = f" ({model.family})" if model.family not in (model.name, "auto") else ""
    if source.path is not None:
        weights = f"weights from {Path(source.path).name}"
    elif source.is_random:
        weights = f"random weights (seed {source.random_seed})"
    else:
        weights = f"weights from {describe_source(replace(source, adapter=None))}"
    adapter = f", {source.adapter_mode.value} LoRA adapter" if source.adapter else ""
    return f"{model.name}{family}, {weights}{adapter}"


def describe_quant(quant: QuantConfig) -> str:
    """The schemes of the rules, then what else changes the values."""
    parts = ["; ".join(_rule(rule) for rule in quant.rules)] if quant.rules else []
    if quant.auto is not None:
        parts.append("mixed precision chosen by measurement")
    if not parts:
        parts.append("float32, not quantized")
    if quant.rotate is not None:
        parts.append("rotations")
    if quant.smooth is not None:
        alpha = quant.smooth.alpha
        parts.append("SmoothQuant" if alpha is None else f"SmoothQuant with alpha {alpha:g}")
    if quant.awq is not None:
        parts.append("AWQ")
    if quant.rules and quant.rounding.method != "minmax":
        parts.append(f"{quant.rounding.method.upper()} rounding")
    if quant.kv_cache is CacheDtype.auto:
        parts.append("KV cache in the dtype that is fastest on the exporting machine")
    elif quant.kv_cache is not CacheDtype.float:
        parts.append(f"{quant.kv_cache.value} KV cache")
    return "; ".join(parts)


def _rule(rule: QuantRule) -> str:
    scheme = SCHEMES[rule.scheme].description if rule.scheme in SCHEMES else rule.scheme
    where = [
        *([rule.kind.value] if rule.kind else []),
        *([rule.pattern] if rule.pattern != ".*" else []),
        *([f"layers {rule.layers}"] if rule.layers is not None else []),
    ]
    extra = []
    if rule.group_size is not None:
        extra.append(f"groups of {rule.group_size}")
    if rule.zero_point:
        extra.append("zero points")
    if rule.outliers:
        extra.append(f"{rule.outliers} outlier channels in float32{_where_large(rule)}")
    told = f"{scheme} ({', '.join(extra)})" if extra else scheme
    return f"{' '.join(where)}: {told}" if where else told


def _where_large(rule: QuantRule) -> str:
    ratio = rule.outlier_ratio
    return "" if ratio == 1 else f" where they are {ratio:g} times the others"
