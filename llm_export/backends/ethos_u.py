"""Ethos-U: Arm's NPUs for microcontrollers. The Vela compiler compiles TOSA for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_export.backends import arm
from llm_export.backends.base import DeclaredBackend, Resolved, options_of
from llm_export.backends.packages import Never, Package
from llm_export.errors import Problem

SUPPORT = arm.SUPPORT

_TARGETS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)


@dataclass(frozen=True)
class Options:
    """``target``: the NPU and its number of MAC units."""

    target: str = "ethos-u85-128"

    def __post_init__(self) -> None:
        if self.target not in _TARGETS:
            raise ValueError(f"target={self.target} is none of {', '.join(_TARGETS)}")


def _spec(resolved: Resolved) -> Any:
    from executorch.backends.arm.ethosu.compile_spec import EthosUCompileSpec

    return EthosUCompileSpec(options_of(resolved, Options).target)


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.arm.ethosu.partitioner import EthosUPartitioner

    return [EthosUPartitioner(_spec(resolved))]


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    from executorch.backends.arm.quantizer import EthosUQuantizer

    return arm.annotate_all(EthosUQuantizer(_spec(resolved)), resolved)


def refusals(resolved: Resolved) -> list[Problem]:
    """It supports integer programs only."""
    if not arm.is_static(resolved):
        what = "Ethos-U computes in integers: without a static scheme next to nothing is delegated"
        return [Problem(what, "quant", "quant=8a8w")]
    return arm.refusals(resolved)


BACKEND = DeclaredBackend(
    name="ethos_u",
    description="Arm Ethos-U NPUs of microcontrollers",
    delegate="EthosUBackend",
    capabilities=arm.CAPABILITIES,
    make_partitioners=partitioners,
    needs=(*arm.NEEDS, Package("ethos-u-vela>=5.1", "arm")),
    runs=(
        Never("an Ethos-U is a part of a microcontroller",
              "run the program on the board, or on Arm's Corstone FVP"),
    ),
    make_quantizer=quantizer,
    options=Options,
    refusals=refusals,
    dim_order=True,
    references=("https://docs.pytorch.org/executorch/stable/backends/arm-ethos-u/"
                "arm-ethos-u-overview.html",),
)  # fmt: skip
