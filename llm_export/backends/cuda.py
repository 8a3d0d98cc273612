"""CUDA: NVIDIA's GPUs, compiled by AOTInductor with Triton kernels."""

from __future__ import annotations

from typing import Any

from llm_export.backends import aoti
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved
from llm_export.backends.machine import Device, PackageFile
from llm_export.backends.packages import Module, Never, Package

SUPPORT = aoti.SUPPORT


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.cuda.cuda_backend import CudaBackend
    from executorch.backends.cuda.cuda_partitioner import CudaPartitioner

    method = CudaBackend.generate_method_name_compile_spec(aoti.only_method(resolved))
    return [CudaPartitioner([method])]


BACKEND = DeclaredBackend(
    name="cuda",
    description="NVIDIA's GPUs on Linux and Windows, by AOTInductor",
    delegate="CudaBackend",
    capabilities=Capabilities(dynamic_shapes=True, attention=("plain", "static_io")),
    make_partitioners=partitioners,
    refusals=aoti.refusals,
    needs=(
        Module("executorch.backends.cuda"),
        PackageFile(
            "torch",
            "lib/libtorch_cuda.so",
            "torch is installed without CUDA",
            "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130",
        ),
        Package("triton"),
        Device(
            "/dev/nvidiactl",
            "there is no NVIDIA GPU: kernels are chosen by timing them",
            "lower on a machine with an NVIDIA GPU and its driver",
        ),
    ),
    runs=(
        Never(
            "ExecuTorch's Python package has no CUDA runtime",
            "build ExecuTorch from source with EXECUTORCH_BUILD_CUDA=ON",
        ),
    ),
    experimental="never lowered with a GPU here, and ExecuTorch calls it experimental",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends-section.html",
    ),
)  # fmt: skip
