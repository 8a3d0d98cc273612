"""VGF: Arm's neural accelerators in GPUs. A converter packages TOSA for the Vulkan ML
extensions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_export.backends import arm, tosa
from llm_export.backends.base import DeclaredBackend, Resolved
from llm_export.backends.packages import Never, Package

SUPPORT = arm.SUPPORT


def _spec(resolved: Resolved) -> Any:
    from executorch.backends.arm.vgf.compile_spec import VgfCompileSpec

    return VgfCompileSpec(tosa.specification(resolved))


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.arm.vgf.partitioner import VgfPartitioner

    _put_converter_on_path()
    return [VgfPartitioner(_spec(resolved))]


def _put_converter_on_path() -> None:
    """Add the interpreter's folder to PATH. ExecuTorch searches the converter on PATH; pip
    installs it next to the interpreter, which is not on PATH if the virtual environment is not
    activated.
    """
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PATH"] = f"{path}{os.pathsep}{folder}"


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    from executorch.backends.arm.quantizer import VgfQuantizer

    return arm.annotate_all(VgfQuantizer(_spec(resolved)), resolved)


BACKEND = DeclaredBackend(
    name="vgf",
    description="Arm's neural accelerators in GPUs, by Vulkan's ML extensions",
    delegate="VgfBackend",
    capabilities=arm.CAPABILITIES,
    make_partitioners=partitioners,
    needs=(
        *arm.NEEDS,
        Package(
            "ai_ml_sdk_model_converter>=0.11", "arm", "0.10.0 needs a newer C library, GLIBC 2.38"
        ),
    ),
    runs=(
        Never("ExecuTorch's Python package has no VGF runtime",
              "run the bundle in an app on a device with Vulkan's ML extensions"),
    ),
    make_quantizer=quantizer,
    options=tosa.Options,
    refusals=arm.refusals,
    dim_order=True,
    references=("https://docs.pytorch.org/executorch/stable/backends/arm-vgf/"
                "arm-vgf-overview.html",),
)  # fmt: skip
