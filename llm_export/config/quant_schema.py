"""The keys of the group ``quant``; see ``schema.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING


def require(ok: bool, key: str, rule: str, value: object) -> None:
    """Raises ValueError in the form that the composer turns into a clear message."""
    if not ok:
        raise ValueError(f"{key}={value}: {rule}")


def require_pattern(pattern: str) -> None:
    """Raises ValueError unless the text is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern={pattern}: not a regular expression: {error}") from None


class ModuleKind(str, Enum):
    """What a quantization rule may apply to."""

    linear = "linear"
    head = "head"
    embedding = "embedding"


class TiedKind(str, Enum):
    """What becomes of an embedding that is also the output matrix."""

    auto = "auto"
    share = "share"
    apart = "apart"


@dataclass
class QuantRule:
    """Applies ``scheme`` to modules of ``kind`` whose name matches ``pattern``."""

    scheme: str = MISSING
    """A name of the scheme table: none, 8da4w, 8da8w, 8w, 4w ..."""
    kind: ModuleKind | None = None
    """linear, head or embedding; null matches all."""
    pattern: str = ".*"
    """Regular expression that must match the whole module name."""
    layers: str | None = None
    """Decoder layers, as numbers and ranges: 0,2-5,28-. null matches all, and modules outside
    of the layers."""
    group_size: int | None = None
    """Weights that share a scale, along the input dimension; null is one scale a channel."""
    zero_point: bool = False
    """An offset for each group beside its scale: weights lie between a group's least and largest
    value, which need not be symmetric. Where the backend's kernel is symmetric, the offsets are
    a product of their own: [.., groups] sums of inputs with [groups, out], in float32."""
    outliers: int = 0
    """Input channels that stay out of the quantized product and are multiplied in float32:
    those with the largest inputs on the calibration text (after LLM.int8(), arXiv:2208.07339)."""

    def __post_init__(self) -> None:
        require_pattern(self.pattern)
        group = self.group_size
        require(group is None or group > 0, "group_size", "must be positive", group)
        require(self.outliers >= 0, "outliers", "must not be negative", self.outliers)
        require(
            self.layers is None or re.fullmatch(_LAYERS, self.layers.replace(" ", "")) is not None,
            "layers", "must be numbers and ranges such as 0,2-5,28-", self.layers,
        )  # fmt: skip


_LAYERS = r"(\d+|\d+-\d*|-\d+)(,(\d+|\d+-\d*|-\d+))*"


@dataclass
class CalibrationConfig:
    """The text from which ranges and errors of activations are read."""

    text: str | None = None
    """A UTF-8 text file; null is the end of the English text that ships with the package."""
    tokens: int = 1024
    """Tokens of it, counted from its end."""
    window: int = 256
    """Tokens of a window; each starts with an empty cache."""

    def __post_init__(self) -> None:
        require(self.tokens > 1, "calibration.tokens", "must be at least 2", self.tokens)
        require(self.window > 1, "calibration.window", "must be at least 2", self.window)


@dataclass
class SmoothConfig:
    """SmoothQuant (arXiv:2211.10438): moves outliers of activations into weights, offline."""

    alpha: float = 0.5
    """0 leaves activations alone, 1 moves all of their range into the weights."""
    pattern: str = ".*"
    """Regular expression that must match the whole names of the linears of a place."""

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, "smooth.alpha", "must be between 0 and 1", self.alpha)
        require_pattern(self.pattern)


@dataclass
class AwqConfig:
    """AWQ (arXiv:2306.00978): scales channels, offline, by how large their inputs are on average;
    for each place, by the power of it that loses least with the recipe's own rules."""

    steps: int = 10
    """Powers that are tried: 0, 1/steps, 2/steps ... 1. 0 leaves a place as it is."""
    pattern: str = ".*"
    """Regular expression that must match the whole names of the linears of a place."""

    def __post_init__(self) -> None:
        require(self.steps > 0, "awq.steps", "must be positive", self.steps)
        require_pattern(self.pattern)


@dataclass
class RotateConfig:
    """Rotations that spread outliers over all channels, offline (QuaRot, arXiv:2404.00456;
    SpinQuant, arXiv:2405.16406): Hadamard matrices where their size allows it."""

    r1: bool = True
    """Of the residual stream. Norms give their gains to the matrices that read them; a tied
    embedding is stored apart from the output matrix."""
    r2: bool = True
    """Of the values of each head."""
    seed: int = 0
    """Of the signs, or of the random matrix."""

    def __post_init__(self) -> None:
        require(self.r1 or self.r2, "rotate.r1", "nothing to rotate: r1 or r2 must be true", False)


@dataclass
class RoundingConfig:
    """How weights get to the values that a scheme can hold."""

    method: str = "minmax"
    """A name of the registry of rounding methods: minmax ..."""
    keep_grids: bool = True
    """A weight that lies on a grid of the scheme already, because its checkpoint was quantized
    so, keeps its integers and scales, whatever the method."""


@dataclass
class QuantConfig:
    """An ordered list of rules; for each module the first that matches applies."""

    name: str = MISSING
    rules: list[QuantRule] = field(default_factory=list)
    group_size: int | None = None
    """The group size that the option's own rules refer to."""
    max_mean_kl: float | None = None
    """Mean KL to float32, in nats, that a sound model stays below with these rules."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    smooth: SmoothConfig | None = None
    """Smoothing before quantization; null is none."""
    awq: AwqConfig | None = None
    """Searched scales before quantization, in place of smoothing; null is none."""
    rotate: RotateConfig | None = None
    """Rotations, before smoothing or searched scales; null is none."""
    rounding: RoundingConfig = field(default_factory=RoundingConfig)
    tied: TiedKind = TiedKind.auto
    """Of an embedding that is also the output matrix. share: one set of integers in the file
    serves both, which both rules must allow. apart: stored twice. auto shares where it can."""
    allow_larger_file: bool = False
    """Accept a file that is larger than the rules predict."""
    description: str = ""
