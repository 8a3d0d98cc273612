"""Metal: GPUs of Macs, compiled by AOTInductor."""

from __future__ import annotations

from typing import Any

from llm_export.backends import aoti
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.machine import PackageFile
from llm_export.backends.packages import Module, Never, Platform

SUPPORT = aoti.SUPPORT


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.apple.metal.metal_backend import MetalBackend
    from executorch.backends.apple.metal.metal_partitioner import MetalPartitioner

    method = MetalBackend.generate_method_name_compile_spec(aoti.only_method(resolved))
    return [MetalPartitioner([method])]


BACKEND = DeclaredBackend(
    name="metal",
    description="GPUs of Macs with Apple silicon, by AOTInductor",
    delegate="MetalBackend",
    capabilities=Capabilities(dynamic_shapes=True, attention=("plain", "static_io")),
    make_partitioners=partitioners,
    refusals=aoti.refusals,
    needs=(
        Module("executorch.backends.apple.metal"),
        Platform("Darwin", "Metal programs are compiled on macOS only", "lower on a Mac"),
        PackageFile(
            "torchao",
            "**/libtorchao_ops_mps_aten.dylib",
            "torchao is installed without its operators for MPS",
            "TORCHAO_BUILD_EXPERIMENTAL_MPS=1 pip install --no-binary torchao torchao",
        ),
    ),
    runs=(
        Never(
            "ExecuTorch's Python package has no Metal runtime",
            "build ExecuTorch from source with EXECUTORCH_BUILD_METAL=ON",
        ),
    ),
    experimental="never lowered on a Mac here, and ExecuTorch calls it experimental",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends-section.html",
    ),
)  # fmt: skip
