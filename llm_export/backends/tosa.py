"""TOSA: Arm's operator set and the base of its other backends; runs on the reference model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_export.backends import arm
from llm_export.backends.base import DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Never

SUPPORT = arm.SUPPORT


@dataclass(frozen=True)
class Options:
    """``version``: a specification such as TOSA-1.0+FP; auto selects +INT for integer programs and
    +FP for others.
    """

    version: str = "auto"

    def __post_init__(self) -> None:
        if self.version != "auto" and not str(self.version).startswith("TOSA-"):
            raise ValueError(f"version={self.version} is neither auto nor like TOSA-1.0+INT")


def specification(resolved: Resolved) -> str:
    stated: str = options_of(resolved, Options).version
    if stated != "auto":
        return stated
    return "TOSA-1.0+INT+int16" if arm.is_static(resolved) else "TOSA-1.0+FP"


def _spec(resolved: Resolved) -> Any:
    from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec

    return TosaCompileSpec(specification(resolved))


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.arm.tosa.partitioner import TOSAPartitioner

    return [TOSAPartitioner(_spec(resolved))]


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    from executorch.backends.arm.quantizer import TOSAQuantizer

    return arm.annotate_all(TOSAQuantizer(_spec(resolved)), resolved)


BACKEND = DeclaredBackend(
    name="tosa",
    description="Arm's operator set, on its reference model",
    delegate="TOSABackend",
    capabilities=arm.CAPABILITIES,
    make_partitioners=partitioners,
    needs=arm.NEEDS,
    runs=(
        Never("a TOSA program is no program for a device",
              "backend=ethos_u or backend=vgf compile it further"),
    ),
    make_quantizer=quantizer,
    reference_model="executorch.backends.arm.test.runner_utils:TosaReferenceModelDispatch",
    options=Options,
    refusals=arm.refusals,
    dim_order=True,
    references=("https://docs.pytorch.org/executorch/stable/backends/arm-ethos-u/"
                "arm-ethos-u-overview.html",),
)  # fmt: skip
