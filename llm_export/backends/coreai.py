"""Core AI: Apple's successor to Core ML, in float32. The backend is experimental."""

from __future__ import annotations

from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.packages import Module, Package, Platform
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import SupportTable

SUPPORT = SupportTable(
    {kind: {} for kind in ModuleKind},
    why_not=dict.fromkeys(("8da4w", "8da8w", "8w", "4w", "8a8w"), "float32 only, for now"),
)


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.apple.coreai.partition.partitioner import CoreAIPartitioner

    return [CoreAIPartitioner()]


BACKEND = DeclaredBackend(
    name="coreai",
    description="Apple devices, by Core AI",
    delegate="CoreAIBackend",
    capabilities=Capabilities(
        dynamic_shapes=False, attention=("static_io", "plain"), prefill_length=1
    ),
    make_partitioners=partitioners,
    needs=(
        Module("executorch.backends.apple.coreai"),
        Package("coreai-torch>=0.4.2,<0.4.3", "coreai", "0.4.3 has no AIProgram.get_graph"),
    ),
    runs=(Platform("Darwin", "Core AI runs on Apple's systems only", "run the bundle on a Mac"),),
    experimental="the backend and its compiler are new and change from release to release",
)
