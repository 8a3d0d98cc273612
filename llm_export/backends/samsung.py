"""Samsung: the NPUs of Exynos chips, by the Exynos Neural Network SDK (ENN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_export.backends import one_scheme
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.one_scheme import integers_only
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING

CHIPSETS = ("E9955", "E9965")

SUPPORT = integers_only("8a8w", embedding=EMBEDDING)


@dataclass(frozen=True)
class Options:
    """``chipset``: E9955 (Exynos 2500) or E9965 (Exynos 2600)."""

    chipset: str = "E9955"

    def __post_init__(self) -> None:
        if self.chipset not in CHIPSETS:
            raise ValueError(f"chipset={self.chipset} is none of {', '.join(CHIPSETS)}")


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.samsung.partition.enn_partitioner import EnnPartitioner

    return [EnnPartitioner(compile_specs(resolved))]


def compile_specs(resolved: Resolved) -> list[Any]:
    from executorch.backends.samsung.serialization.compile_options import (
        gen_samsung_backend_compile_spec,
    )

    return [gen_samsung_backend_compile_spec(options_of(resolved, Options).chipset)]


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantizer for all operators that the NPU supports, in int8."""
    from executorch.backends.samsung.quantizer.quantizer import EnnQuantizer, Precision

    made = EnnQuantizer()
    made.setup_quant_params(Precision.A8W8, is_per_channel=True, is_qat=training)
    return made


BACKEND = DeclaredBackend(
    name="samsung",
    description="NPUs of Samsung's Exynos chips, by ENN",
    delegate="EnnBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        integers_throughout=True,
        attention=("static_io", "plain"),
        computes_in="float16",
        prefill_length=1,
    ),
    make_partitioners=partitioners,
    refusals=one_scheme.refusals,
    needs=(
        Module("executorch.backends.samsung"),
        Module(
            "executorch.backends.samsung.python.PyEnnWrapperAdaptor",
            "ExecuTorch's Python package has no PyEnnWrapperAdaptor, which is built with Samsung's "
            "Exynos AI LiteCore SDK",
            "get the SDK from https://soc-developer.semiconductor.samsung.com, and build "
            "ExecuTorch from source with backends/samsung/build.sh",
        ),
    ),
    runs=(Never("an Exynos NPU runs it", "run the bundle in an app on an Exynos device"),),
    make_quantizer=quantizer,
    options=Options,
    experimental="never lowered with Samsung's SDK here; compare on a device before relying on it",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends/samsung/samsung-overview.html",
    ),
)  # fmt: skip
