"""Core ML: CPU, GPU and Neural Engine of Apple's devices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llm_export.backends import static_linears
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Module, Package, Platform
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import SnapshotsKind
from llm_export.errors import Problem
from llm_export.quant.schemes import Support, SupportTable

_WEIGHTS = {
    "8w": Support(per_channel=True, groups=16, scale_dtype="float16"),
    "4w": Support(per_channel=True, groups=16, scale_dtype="float16", zero_points=True),
}
# Core ML Tools merges equal constants.
_TABLE = {name: replace(support, with_head=True) for name, support in _WEIGHTS.items()}
_STATIC = {"8a8w": Support(per_channel=True, groups=0)}
_NO_DYNAMIC = "Core ML has no integer activations with ranges found at run time"

SUPPORT = SupportTable(
    {
        ModuleKind.linear: {**_WEIGHTS, **_STATIC},
        ModuleKind.head: {**_WEIGHTS, **_STATIC},
        ModuleKind.embedding: _TABLE,
    },
    why_not=dict.fromkeys(("8da4w", "8da8w"), _NO_DYNAMIC),
)

_UNITS = ("cpu_only", "cpu_and_gpu", "cpu_and_ne", "all")


@dataclass(frozen=True)
class Options:
    """Attributes:
    ios: minimum iOS version, 15 to 18 (macOS 12 to 15). Quantized weights need 16, quantized
        activations 17; groups, 4 bit, quantized embeddings and ``stateful`` need 18.
    compute_units: the hardware that may be used.
    precision: of products: float16 or float32, which the Neural Engine does not have.
    stateful: keep KV caches in Core ML state; ExecuTorch's released runtime cannot run it.
    """

    ios: int = 18
    compute_units: str = "cpu_and_ne"
    precision: str = "float16"
    stateful: bool = False

    def __post_init__(self) -> None:
        if self.ios not in (15, 16, 17, 18):
            raise ValueError(f"ios={self.ios} is none of 15, 16, 17, 18")
        if self.compute_units not in _UNITS:
            raise ValueError(f"compute_units={self.compute_units} is none of {', '.join(_UNITS)}")
        if self.precision not in ("float16", "float32"):
            raise ValueError(f"precision={self.precision} is none of float16, float32")
        if self.stateful and self.ios < 18:
            raise ValueError("stateful needs ios=18")


def partitioners(resolved: Resolved) -> list[Any]:
    import coremltools
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.compiler.coreml_preprocess import (
        MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    )
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    options = options_of(resolved, Options)
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(coremltools.target, f"iOS{options.ios}"),
        compute_precision=getattr(coremltools.precision, options.precision.upper()),
        compute_unit=getattr(coremltools.ComputeUnit, options.compute_units.upper()),
        model_type=CoreMLBackend.MODEL_TYPE.MODEL,
    )
    if options.ios >= 18 and len(resolved.methods.lengths) > 1:
        # Functions of one model share its weights.
        strategy = MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
        specs.append(
            CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(strategy)
        )
    return [CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=options.stateful)]


def refusals(resolved: Resolved) -> list[Problem]:
    """Problems with features that the minimum iOS version lacks."""
    options, found = options_of(resolved, Options), []
    if options.stateful and resolved.recipe.runtime.snapshots is SnapshotsKind.require:
        what = "Core ML holds the caches of a stateful program, which cannot give them out"
        fix = "backend.options.stateful=false, or runtime.snapshots=auto"
        found.append(Problem(what, "runtime.snapshots", fix))
    for index, rule in enumerate(resolved.recipe.quant.rules):
        if rule.scheme == "none":
            continue
        fine = rule.scheme == "4w" or rule.group_size is not None
        plain = 17 if rule.scheme in _STATIC else 16
        wanted = 18 if fine or rule.kind is ModuleKind.embedding else plain
        if options.ios < wanted:
            what = f"{rule.scheme} needs iOS {wanted} here, and the recipe supports {options.ios}"
            found.append(Problem(what, f"quant.rules[{index}]", f"backend.options.ios={wanted}"))
    return found


BACKEND = DeclaredBackend(
    name="coreml",
    description="iPhones, iPads and Macs: CPU, GPU, Neural Engine",
    delegate="CoreMLBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        # coremltools 9 fails to convert a write to a cache at computed positions.
        attention=("static_io",),
        computes_in="float16",
    ),
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.apple.coreml"), Package("coremltools>=8")),
    runs=(
        Platform("Darwin", "Core ML runs on macOS and iOS only", "run it on a Mac or in an app"),
    ),
    make_quantizer=static_linears.quantizer,
    options=Options,
    refusals=refusals,
    references=("https://docs.pytorch.org/executorch/stable/backends/coreml/coreml-overview.html",),
)
