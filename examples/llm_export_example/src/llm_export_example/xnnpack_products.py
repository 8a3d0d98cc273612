"""XNNPACK for matrix products only, each in a delegate of its own; the rest on portable kernels.

Slower than llm_export's ``xnnpack``, whose delegates hold a layer. It is for finding out whether
a difference comes from XNNPACK's products or from what it computes between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Module
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

_LINEAR = {
    "8da4w": Support(per_channel=True, groups=32, scale_dtype="bfloat16"),
    "8da8w": Support(per_channel=True, groups=0),
}

SUPPORT = SupportTable(
    {ModuleKind.linear: _LINEAR, ModuleKind.head: _LINEAR, ModuleKind.embedding: EMBEDDING},
    why_not=dict.fromkeys(("8w", "4w", "2w"), "XNNPACK computes garbage with such weights"),
)


_OTHERS = {
    "add": "AddConfig",
    "mul": "MulConfig",
    "sigmoid": "SigmoidConfig",
    "mean": "MeanDimConfig",
    "rsqrt": "ReciprocalSquareRootConfig",
}
"""Operator -> XNNPACK's partitioner config for it."""


@dataclass(frozen=True)
class Options:
    """``also``: operators that XNNPACK takes too: add, mul, sigmoid, mean, rsqrt."""

    also: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.also, list):
            raise ValueError(f"also is a list of operators, not {self.also!r}")
        unknown = [name for name in self.also if name not in _OTHERS]
        if unknown:
            raise ValueError(f"also has '{unknown[0]}', which is none of {', '.join(_OTHERS)}")


def partitioners(resolved: Resolved) -> list[Any]:
    """XNNPACK's own, limited to what multiplies matrices and what the option names."""
    from executorch.backends.xnnpack.partition import config
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    names = ["LinearConfig", "AddmmConfig", "MMConfig"]
    names += [_OTHERS[name] for name in options_of(resolved, Options).also]
    return [XnnpackPartitioner([getattr(config, name) for name in names], per_op_mode=True)]


BACKEND = DeclaredBackend(
    name="xnnpack_products",
    description="XNNPACK for matrix products, each apart; for tracing differences",
    # Layers of one kind look alike, so that a few are lowered and repeated for the others.
    capabilities=Capabilities(dynamic_shapes=True, attention=("custom_op", "plain"), repeats=True),
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.xnnpack"),),
    options=Options,
    make_lowering_context="llm_export.backends.xnnpack_lowering:faster",
)
