"""How a weight was trained to be quantized, in the words of torchao's fake quantizers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum


def require(ok: bool, key: str, rule: str, value: object) -> None:
    """Raises ValueError in the form that the composer turns into a clear message."""
    if not ok:
        raise ValueError(f"{key}={value}: {rule}")


class ModuleKind(str, Enum):
    """What a quantization rule may apply to."""

    linear = "linear"
    head = "head"
    embedding = "embedding"


class Precision(str, Enum):
    """A floating-point type."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class ZeroPointDomain(str, Enum):
    """What a zero point is added to."""

    integer = "integer"
    float = "float"


@dataclass
class QatConfig:
    """The fake quantizer that weights were trained with (torchao.quantization.qat).

    Names and meaning are those of torchao's IntxFakeQuantizeConfig; bits and group size are
    the rule's. The defaults are what QATConfig(base_config, step="prepare") makes of
    Int8DynamicActivationIntxWeightConfig and IntxWeightOnlyConfig. What torchtune trains
    (Int8DynActInt4WeightQATQuantizer) is scale_precision=float32, whatever its weights were.
    """

    enabled: bool = False
    """The checkpoint was trained with fake quantizers, which nobody can tell from its weights.
    Those that were are rounded exactly as in training, whatever rounding.method is. An adapter
    of torchtune's QAT + LoRA was trained beside the quantized weights, in float: it belongs
    there (checkpoint.adapter_mode=separate)."""
    weight_precision: Precision = Precision.float32
    """The weights' type during training: scales are computed in it."""
    scale_precision: Precision | None = None
    """What scales are then rounded to; null is weight_precision."""
    is_symmetric: bool = True
    """Whether a scale comes from the largest magnitude of its group, or from least and largest
    value."""
    zero_point_domain: ZeroPointDomain = ZeroPointDomain.integer
    """Of weights that are not symmetric: float is the layout of torchao's int4 weight-only
    kernel, with unsigned integers and an offset in units of the weight."""
    eps: float | None = None
    """Least scale; null is torchao's default."""
    kinds: list[ModuleKind] = field(default_factory=lambda: [ModuleKind.linear, ModuleKind.head])
    """Which quantized modules were trained so; others are rounded by rounding.method."""
    pattern: str = ".*"
    """Regular expression that must match the whole name of such a module."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"qat.pattern={self.pattern}: not a regular expression: {error}"
            ) from None
        require(bool(self.kinds), "qat.kinds", "must name a kind", self.kinds)
        require(self.eps is None or self.eps > 0, "qat.eps", "must be positive", self.eps)
