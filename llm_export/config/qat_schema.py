"""How a checkpoint was QAT-trained, in the terms of torchao's fake quantizers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from llm_export.config.name_patterns import require_pattern


def require(ok: bool, key: str, rule: str, value: object, fix: str | None = None) -> None:
    """Raise ValueError unless ``ok``, in the form that the composer translates for the user: key,
    value and rule, then, in a line of its own, what to state instead if the rule does not say."""
    if not ok:
        # The first ": " ends the value.
        said = str(value).lower() if isinstance(value, bool) else str(value).replace(": ", ":")
        raise ValueError(f"{key}={said}: {rule}" + (f"\n{fix}" if fix else ""))


def require_length(group: object, key: str, at_least: int = 1) -> None:
    """Raise ValueError unless a number of tokens or channels is null or large enough."""
    value = getattr(group, key)
    rule = {0: "must not be negative", 1: "must be positive"}.get(
        at_least, f"must be at least {at_least}"
    )
    require(value is None or value >= at_least, key, rule, value)


class ModuleKind(str, Enum):
    """The kinds of modules that a quantization rule can apply to."""

    linear = "linear"
    head = "head"
    embedding = "embedding"


class Precision(str, Enum):
    """A floating-point type."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class ZeroPointDomain(str, Enum):
    """Whether a zero point is added to the integers or to the dequantized float values."""

    integer = "integer"
    float = "float"


@dataclass
class QatConfig:
    """The fake quantizer that the weights were trained with (torchao.quantization.qat).

    Names and meanings are those of torchao's IntxFakeQuantizeConfig; bit width and group size
    come from the rule. The defaults match QATConfig(base_config, step="prepare") with
    Int8DynamicActivationIntxWeightConfig and IntxWeightOnlyConfig. Checkpoints trained by
    torchtune (Int8DynActInt4WeightQATQuantizer) need scale_precision=float32, whatever the type
    of their weights was.
    """

    enabled: bool = False
    """Set this if the checkpoint was trained with fake quantizers; it cannot be detected from the
    weights. The trained modules are then rounded exactly as in training, whatever
    rounding.method is. An adapter of torchtune's QAT + LoRA was trained in float beside the
    quantized weights, so keep it separate (checkpoint.adapter_mode=separate)."""
    weight_precision: Precision = Precision.float32
    """Type of the weights during training; scales are computed in this type."""
    scale_precision: Precision | None = None
    """Type that the scales are then rounded to; null is weight_precision."""
    is_symmetric: bool = True
    """true: a scale is computed from the largest magnitude of its group. false: from the minimum
    and maximum of its group."""
    zero_point_domain: ZeroPointDomain = ZeroPointDomain.integer
    """For asymmetric weights. float is the layout of torchao's int4 weight-only kernel: unsigned
    integers, and an offset in units of the weight."""
    eps: float | None = None
    """Minimum scale; null is torchao's default."""
    kinds: list[ModuleKind] = field(default_factory=lambda: [ModuleKind.linear, ModuleKind.head])
    """Kinds of quantized modules that were trained with fake quantizers; the others are rounded
    by rounding.method."""
    pattern: str = ".*"
    """Regular expression that must match the whole name of a module trained this way."""

    def __post_init__(self) -> None:
        require_pattern(self.pattern, "qat.pattern")
        require(bool(self.kinds), "qat.kinds", "must name a kind", self.kinds)
        require(self.eps is None or self.eps > 0, "qat.eps", "must be positive", self.eps)
