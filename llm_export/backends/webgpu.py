"""WebGPU: programs are byte-identical to Vulkan's; only the runtime differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_export.backends import vulkan
from llm_export.backends.base import Resolved
from llm_export.backends.packages import Module, Never

SUPPORT = vulkan.SUPPORT


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.webgpu.partitioner import WebGPUPartitioner

    return [WebGPUPartitioner(vulkan.settings(resolved))]


BACKEND = replace(
    vulkan.BACKEND,
    name="webgpu",
    description="GPUs of browsers and desktops, by WebGPU",
    make_partitioners=partitioners,
    needs=(Module("executorch.backends.webgpu"), *vulkan.BACKEND.needs),
    runs=(
        Never("ExecuTorch's Python package has no WebGPU runtime",
              "build ExecuTorch's WebGPU runtime from source"),
    ),
)  # fmt: skip
