"""XNNPACK for matrix products only, each in a delegate of its own; the rest on portable kernels.

Slower than llm_export's ``xnnpack``, whose delegates hold a layer. It is for finding out whether
a difference comes from XNNPACK's products or from what it computes between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend, options_of
from llm_export.backends.packages import Module
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
from llm_export.quant.schemes import Support, SupportTable

_LINEAR = {
    "8da4w": Support(per_channel=True, groups=32, scale_dtype="bfloat16"),
    "8da8w": Support(per_channel=True, groups=0),
}

SUPPORT = SupportTable(
    {ModuleKind.linear: _LINEAR, ModuleKind.head: _LINEAR, ModuleKind.embedding: EMBEDDING},
    why_not=dict.fromkeys(("8w", "4w", "2w"), "XNNPACK computes garbage with such weights"),
)


@dataclass(frozen=True)
class Options:
    """``merge``: put products that follow each other into one delegate."""

    merge: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.merge, bool):
            raise ValueError(f"merge is true or false, not {self.merge!r}")


def partitioners(recipe: Recipe) -> list[Any]:
    """XNNPACK's own, limited to what multiplies matrices."""
    from executorch.backends.xnnpack.partition.config.gemm_configs import (
        AddmmConfig,
        LinearConfig,
        MMConfig,
    )
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    merge = options_of(recipe, Options).merge
    return [XnnpackPartitioner([LinearConfig, AddmmConfig, MMConfig], per_op_mode=not merge)]


BACKEND = DeclaredBackend(
    name="xnnpack_products",
    description="XNNPACK for matrix products, each apart; for tracing differences",
    # Layers of one kind look alike, so that a few are lowered and repeated for the others.
    capabilities=Capabilities(dynamic_shapes=True, attention=("custom_op", "plain"), repeats=True),
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.xnnpack"),),
    options=Options,
    while_lowering="llm_export.backends.xnnpack_lowering:faster",
)
