"""Known bugs of upstream packages, as data.

Bugs of specific versions are detected on the machine: the doctor lists them, and the checks refuse
recipes of affected backends. Wrong behaviour is worked around elsewhere, as ``guard`` says; a test
reproduces each and fails once a release fixes it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement

from llm_export.backends.packages import has_module
from llm_export.compat.vendor_backends import MLX_SERIALIZERS

_DOCS = "https://docs.pytorch.org/executorch/stable/"


@dataclass(frozen=True)
class KnownIssue:
    """Attributes:
    what: description, one sentence without a full stop.
    link: a page about the bug or the backend.
    fix: command or action that fixes it.
    packages: version requirements; the bug is present if the installed packages match all.
    backends: affected backends; empty for all.
    applies: additional condition on this machine.
    guard: for wrong behaviour: the code here that works around it.
    """

    id: str
    what: str
    link: str
    fix: str
    packages: tuple[str, ...]
    backends: tuple[str, ...] = ()
    applies: Callable[[], bool] = lambda: True
    guard: str = ""

    @property
    def of_versions(self) -> bool:
        """Whether other package versions fix it."""
        return not self.guard

    def is_here(self) -> bool:
        return all(map(_installed, self.packages)) and self.applies()


def issues_here(backend: str | None = None) -> Iterator[KnownIssue]:
    """Known issues that are present on this machine.

    Args:
        backend: only check issues of this backend; packages of other backends are not queried.
    """
    named = (issue for issue in KNOWN if backend is None or backend in issue.backends)
    return (issue for issue in named if issue.is_here())


def _installed(requirement: str) -> bool:
    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _old_glibc() -> bool:
    library, found = platform.libc_ver()
    parts = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    return library == "glibc" and parts < (2, 38)


def _no_mlx_files() -> bool:
    return has_module("executorch.backends.mlx") and not has_module(MLX_SERIALIZERS)


_ET = "executorch>=1.5,<1.6"

KNOWN: tuple[KnownIssue, ...] = (
    KnownIssue(
        "openvino-2026-crashes",
        "openvino 2026 crashes the process in ExecuTorch 1.5's delegate",
        _DOCS + "build-run-openvino.html",
        'pip install "openvino>=2025.4,<2026"',
        (_ET, "openvino>=2026"),
        ("openvino",),
    ),
    KnownIssue(
        "nncf-wants-openvino-2026",
        "nncf 3.3 and later do not import beside openvino before 2026: they want its type u2",
        "https://github.com/openvinotoolkit/nncf/releases",
        'pip install "nncf>=3.1,<3.3"',
        ("nncf>=3.3", "openvino<2026"),
        ("openvino",),
    ),
    KnownIssue(
        "nncf-wants-old-torch",
        "nncf before 3.1 does not import beside this torch: it wants torch.ao.quantization.pt2e",
        "https://github.com/openvinotoolkit/nncf/releases",
        'pip install "nncf>=3.1,<3.3"',
        ("nncf<3.1", "torch>=2.13"),
        ("openvino",),
    ),
    KnownIssue(
        "model-converter-wants-glibc-2.38",
        "ai_ml_sdk_model_converter 0.10.0, which executorch[vgf] installs, does not start on a "
        "system with a glibc before 2.38",
        _DOCS + "backends/arm-vgf/arm-vgf-overview.html",
        "pip install ai_ml_sdk_model_converter==0.11.0",
        ("ai_ml_sdk_model_converter==0.10.0",),
        ("vgf",),
        applies=_old_glibc,
    ),
    KnownIssue(
        "coreai-torch-0.4.3",
        "coreai-torch 0.4.3 asks for AIProgram.get_graph, which coreai-core does not have",
        _DOCS + "backends-section.html",
        "pip install coreai-torch==0.4.2",
        ("coreai-torch==0.4.3",),
        ("coreai",),
    ),
    KnownIssue(
        "mlx-generated-files",
        "ExecuTorch's package for Linux lacks the generated files of its MLX backend",
        "https://github.com/pytorch/executorch/pull/16718",
        "python -m llm_export.backends.mlx_files",
        (_ET,),
        ("mlx",),
        applies=_no_mlx_files,
    ),
    KnownIssue(
        "xnnpack-weight-only",
        "weight-only linears lower to XNNPACK without complaint and compute garbage",
        "https://github.com/pytorch/executorch/issues/10499",
        "quant=8da4w or quant=8da8w; weight-only schemes on another backend",
        (_ET,),
        ("xnnpack",),
        guard="refused by the backend's table of schemes; every program is compared",
    ),
    KnownIssue(
        "portable-no-dequantize",
        "weights that torchao quantizes have no portable kernel: there is no out variant of "
        "torchao::dequantize_affine",
        _DOCS + "kernel-library-overview.html",
        "quant=8w quant.group_size=null, which runs there by a kernel of its own, or "
        "backend=xnnpack",
        (_ET,),
        ("portable",),
        guard="refused by the backend's table of schemes",
    ),
    KnownIssue(
        "mlx-no-dynamic-activations",
        "linears with dynamically quantized activations do not lower to MLX",
        "https://github.com/pytorch/executorch/pull/16718",
        "a weight-only scheme",
        (_ET,),
        ("mlx",),
        guard="refused by the backend's table of schemes",
    ),
    KnownIssue(
        "openvino-no-dynamic-shapes",
        "programs with dynamic shapes do not lower to OpenVINO",
        _DOCS + "build-run-openvino.html",
        "runtime.dynamic_shapes=null",
        (_ET,),
        ("openvino",),
        guard="refused by the checks: the backend takes fixed shapes only",
    ),
    KnownIssue(
        "registered-is-not-runnable",
        "ExecuTorch's backend_registry.is_available says yes to QnnBackend on machines without "
        "any of Qualcomm's libraries",
        _DOCS + "backends-qualcomm.html",
        "ask llm-export doctor instead",
        (_ET,),
        ("qnn",),
        applies=lambda: platform.system() == "Linux" and platform.machine() == "x86_64",
        guard="never asked: what a backend needs is declared in its file",
    ),
    KnownIssue(
        "legacy-loader-does-not-share",
        "methods of one program that are run by _load_for_executorch(...).run_method do not "
        "share their mutable buffers, so that decoding does not see what prefill wrote",
        "https://github.com/pytorch/executorch/issues/17005",
        "in your own Python code use executorch.runtime.Runtime, or runtime_py",
        (_ET,),
        guard="runtime_py uses Runtime",
    ),
    KnownIssue(
        "no-custom-attention-in-the-wheels-libraries",
        "the C++ libraries in ExecuTorch's Python package have no custom attention operator: a "
        "C++ program that is built on them cannot run programs that use it",
        _DOCS + "using-executorch-cpp.html",
        "runtime.attention=plain, or build ExecuTorch with EXECUTORCH_BUILD_KERNELS_LLM",
        (_ET,),
        guard="runtime_py runs in Python, where the operator is",
    ),
)
