"""Code shared by Arm's backends: TOSA, and Ethos-U and VGF, which compile TOSA further."""

from __future__ import annotations

from typing import Any

from llm_export.backends.base import Capabilities, Resolved
from llm_export.backends.packages import Module, Package
from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import Problem
from llm_export.quant.schemes import SCHEMES, Flow, Support, SupportTable

CAPABILITIES = Capabilities(
    dynamic_shapes=False,
    integers_throughout=True,
    attention=("static_io",),
    # Delegates contain their weights, so a prefill method would store the weights twice.
    prefill_length=1,
)

_STATIC = Support(per_channel=True, groups=0)
LINEAR = {"8a8w": _STATIC, "16a8w": _STATIC}

# Token lookup runs in ExecuTorch's kernels.
_TABLE = {"8w": Support(per_channel=True, groups=32, delegated=False)}

SUPPORT = SupportTable(
    {ModuleKind.linear: LINEAR, ModuleKind.head: LINEAR, ModuleKind.embedding: _TABLE},
    why_not=dict.fromkeys(
        ("8da4w", "8da8w", "8w", "4w"), "TOSA has integer products with calibrated ranges only"
    ),
)

NEEDS = (
    Module("executorch.backends.arm"),
    Package("tosa-tools>=2026.5", "arm"),
    Package("ml_dtypes>=0.5", "arm"),
)


def is_static(resolved: Resolved) -> bool:
    """Whether rules quantize matrix products statically, so that the program computes in
    integers.
    """
    return any(_is_static(rule.scheme) for rule in resolved.recipe.quant.rules)


def _is_static(scheme: str) -> bool:
    return scheme in SCHEMES and SCHEMES[scheme].flow is Flow.pt2e


def annotate_all(quantizer: Any, resolved: Resolved) -> Any:
    """Quantize all activations to 8 or 16 bits: operators left in float run outside the
    delegate.
    """
    from executorch.backends.arm.quantizer import (
        get_symmetric_a16w8_quantization_config,
        get_symmetric_quantization_config,
    )

    bits = {
        SCHEMES[r.scheme].activation_bits
        for r in resolved.recipe.quant.rules
        if _is_static(r.scheme)
    }
    made = (
        get_symmetric_a16w8_quantization_config()
        if 16 in bits
        else get_symmetric_quantization_config()
    )
    quantizer.set_global(made)
    return quantizer


def refusals(resolved: Resolved) -> list[Problem]:
    """Integer programs use one activation width."""
    static = sorted({r.scheme for r in resolved.recipe.quant.rules if _is_static(r.scheme)})
    if len(static) < 2:
        return []
    what = f"{' and '.join(static)} in one program: its activations have one width"
    first = static[0]
    return [
        Problem(what, f"quant.rules[{index}]", f"quant.rules.{index}.scheme={first}")
        for index, rule in enumerate(resolved.recipe.quant.rules)
        if _is_static(rule.scheme) and rule.scheme != first
    ]
