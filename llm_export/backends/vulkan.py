"""Vulkan: GPUs of Android phones. WebGPU uses the same programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import Support, SupportTable

_LINEAR = {
    # It also stores the sum of each group's weights, to correct for activation zero points.
    "8da4w": Support(per_channel=False, groups=32, group_bytes=4),
    "4w": Support(per_channel=False, groups=32),
}

SUPPORT = SupportTable(
    {
        ModuleKind.linear: _LINEAR,
        ModuleKind.head: _LINEAR,
        # Lookups in 8-bit embeddings run in ExecuTorch's kernels.
        ModuleKind.embedding: {
            "8w": EMBEDDING["8w"],
            "4w": Support(per_channel=False, groups=32),
        },
    },
    why_not={"8da8w": "its kernels of dynamic activations have 4-bit weights"},
)

CAPABILITIES = Capabilities(
    dynamic_shapes=True,
    # It matches the fused attention operator; other forms do not lower with dynamic shapes.
    attention=("custom_op",),
    static_attention=("custom_op", "static_io", "plain"),
    holds_state=("custom_op",),
)


@dataclass(frozen=True)
class Options:
    """``force_fp16``: compute in half precision."""

    force_fp16: bool = False


def settings(resolved: Resolved) -> dict[str, bool]:
    """Compile options of the partitioner."""
    half = options_of(resolved, Options).force_fp16
    return {"require_dynamic_shapes": resolved.methods.dynamic, "force_fp16": half}


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return [VulkanPartitioner(settings(resolved))]


BACKEND = DeclaredBackend(
    name="vulkan",
    description="GPUs of Android phones, by Vulkan",
    delegate="VulkanBackend",
    capabilities=CAPABILITIES,
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.vulkan"),),
    runs=(
        Never("ExecuTorch's Python package has no Vulkan runtime",
              "run the bundle in an Android app, or build ExecuTorch with EXECUTORCH_BUILD_VULKAN"),
    ),
    exported_transform="llm_export.backends.lookups:fuse_lookups",
    options=Options,
    references=("https://docs.pytorch.org/executorch/stable/backends/vulkan/vulkan-overview.html",),
)  # fmt: skip
