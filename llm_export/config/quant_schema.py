"""The keys of the group ``quant``; see ``schema.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from llm_export.config.qat_schema import ModuleKind, QatConfig, require


def require_pattern(pattern: str) -> None:
    """Raises ValueError unless the text is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern={pattern}: not a regular expression: {error}") from None


class TiedKind(str, Enum):
    """What becomes of an embedding that is also the output matrix."""

    auto = "auto"
    share = "share"
    untied = "untied"


class CacheDtype(str, Enum):
    """What keys and values are kept in."""

    float = "float"
    bfloat16 = "bfloat16"
    int8 = "int8"


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
        for first, last in re.findall(r"(\d+)-(\d+)", self.layers or ""):
            rule = f"the range {first}-{last} holds nothing"
            require(int(first) <= int(last), "layers", rule, self.layers)


_LAYERS = r"(\d+|\d+-\d*|-\d+)(,(\d+|\d+-\d*|-\d+))*"


@dataclass
class CalibrationConfig:
    """The text from which ranges and errors of activations are read."""

    text: str | None = None
    """A UTF-8 text file; null is the end of the English text that ships with the package."""
    dataset: str | None = None
    """Instead of a text: a dataset on the Hugging Face hub (ORG/NAME), or a folder with its files
    (.jsonl, .parquet, .txt, .csv). Read from its beginning."""
    dataset_config: str | None = None
    """Which of the dataset's configurations, where it has several."""
    dataset_revision: str | None = None
    """Branch, tag or commit of the dataset."""
    split: str = "train"
    """Of the dataset."""
    column: str = "text"
    """Of the dataset: what holds the text."""
    tokens: int = 1024
    """Tokens of it, counted from its end (of a dataset, from its beginning)."""
    window: int = 256
    """Tokens of a window; each starts with an empty cache."""

    def __post_init__(self) -> None:
        require(
            self.text is None or self.dataset is None, "calibration.dataset",
            "there is a calibration.text as well; one of them must be null", self.dataset,
        )  # fmt: skip
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
    """minmax: scales from each group's largest values. hqq: those with the least error of the
    weights, which needs no text. gptq: the least error of the outputs on the calibration text,
    a layer at a time, each with the inputs that the quantized layers before it make
    (arXiv:2210.17323)."""
    keep_grids: bool = True
    """A weight that lies on a grid of the scheme already, because its checkpoint was quantized
    so, keeps its integers and scales, whatever the method."""
    damping: float = 0.01
    """gptq: what is added to the diagonal of the sum of x x^T, as a part of its mean. More
    trusts the text less."""
    act_order: bool = True
    """gptq: columns with the largest inputs first, scales from the float weights. Without it
    columns go from left to right, and a group's scales are made when it is reached."""
    block: int = 128
    """gptq: columns whose errors are carried to all later columns at once."""

    def __post_init__(self) -> None:
        require(0 < self.damping < 1, "rounding.damping", "must be between 0 and 1", self.damping)
        require(self.block > 0, "rounding.block", "must be positive", self.block)


@dataclass
class AutoConfig:
    """Automatic mixed precision: for every matrix the candidate that loses least in a budget.

    The loss of a candidate is the mean KL divergence to the float model on the end of the
    calibration text when nothing but that matrix is quantized; losses are taken to add up."""

    candidates: list[QuantRule] = field(default_factory=list)
    """Written as rules: each may be chosen for the modules that it matches. What the backend
    refuses, or whose groups do not divide a matrix, is left out for that matrix. A matrix
    that an ordinary rule matches is not chosen for."""
    tokens: int = 512
    """Tokens on which losses are measured; the time is proportional to them."""
    window: int = 256
    """Tokens of a window; each starts with an empty cache."""
    keep_measurements: bool = False
    """Leave the measured losses in the cache folder, for a run with another budget."""

    def __post_init__(self) -> None:
        require(self.tokens > 1, "auto.tokens", "must be at least 2", self.tokens)
        require(self.window > 1, "auto.window", "must be at least 2", self.window)


@dataclass
class QuantConfig:
    """An ordered list of rules; for each module the first that matches applies."""

    name: str = MISSING
    rules: list[QuantRule] = field(default_factory=list)
    """Which scheme each matrix gets: the first rule that matches wins; none leaves it in float."""
    group_size: int | None = None
    """The group size that the option's own rules refer to."""
    outliers: int = 0
    """The outlier channels that the option's own rules refer to."""
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
    qat: QatConfig = field(default_factory=QatConfig)
    """How a checkpoint was trained to be quantized, if it was."""
    tied: TiedKind = TiedKind.auto
    """Of an embedding that is also the output matrix. share: one set of integers in the file
    serves both, which both rules must allow. untied: stored twice. auto shares where it can."""
    kv_cache: CacheDtype = CacheDtype.float
    """int8 keeps keys and values in 8 bits, with a scale and a zero point for each position and
    KV head: about 0.3 of the memory. attention=custom_op then multiplies in 8 bits by kernels
    written for Arm, which on x86 are several times slower than those in float. It may add 0.005
    to the mean KL that an option allows. bfloat16 halves the memory, and the time of attention
    over a long context, by attention=custom_op_by_head in bfloat16."""
    auto: AutoConfig | None = None
    """Choose schemes by measurement, within one of the two budgets below; null follows the
    rules alone."""
    bits_per_weight: float | None = None
    """Budget of quant.auto: bits of all matrices in the file, their scales and what is beside
    them included, for each of their weights."""
    file_megabytes: float | None = None
    """Budget of quant.auto: all constants of the file, in 10^6 bytes."""
    allow_larger_file: bool = False
    """Accept a file that is larger than the rules predict."""
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("bits_per_weight", "file_megabytes"):
            value = getattr(self, key)
            require(value is None or 0 < value < float("inf"), key, "must be positive", value)
