"""The keys of the group ``quant``; see ``schema.py``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from llm_export.config.name_patterns import require_pattern
from llm_export.config.qat_schema import ModuleKind, QatConfig, require, require_length

QUALITY_LIMIT = 0.3
"""Mean KL divergence from float32, in nats, above which a run fails by default: the limit between
visible loss and poor in ``llm_export.metrics.scale``."""

AUTO = "auto"
"""The rounding method that ``resolve.options`` chooses."""


class TiedKind(str, Enum):
    """How an embedding that is tied to the output head is stored."""

    auto = "auto"
    share = "share"
    untied = "untied"


class CacheDtype(str, Enum):
    """Data type of the KV cache."""

    float = "float"
    bfloat16 = "bfloat16"
    int8 = "int8"
    auto = "auto"


CACHE_DTYPES = (CacheDtype.float, CacheDtype.bfloat16, CacheDtype.int8)
"""Those that a cache can have, the largest one first."""


@dataclass
class QuantRule:
    """Applies ``scheme`` to the modules of ``kind`` whose name matches ``pattern``."""

    scheme: str = MISSING
    """Name of a quantization scheme: none, 8da4w, 8da8w, 8w, 4w ..."""
    kind: ModuleKind | None = None
    """linear, head or embedding; null matches all."""
    pattern: str = ".*"
    """Regular expression that must match the whole module name."""
    layers: str | None = None
    """Decoder layers, as numbers and ranges: 0,2-5,28-. null matches all layers, and modules
    outside the layers."""
    group_size: int | None = None
    """Number of consecutive weights along the input dimension that share a scale; null is one
    scale per output channel."""
    zero_point: bool | None = False
    """Asymmetric quantization: each group has an offset besides its scale and covers the range
    from its minimum to its maximum weight. If the backend's kernel is symmetric, the offsets are
    further columns of the weight, for inputs that are the means of the groups. null is true where
    the backend's kernel has zero points of its own."""
    outliers: int | None = 0
    """Number of input channels that are excluded from the quantized product and multiplied in
    float32: those with the largest inputs on the calibration text (after LLM.int8(),
    arXiv:2208.07339). null is 8, 4 with an outlier_ratio, or 0 where the rest of the recipe allows
    none."""
    outlier_ratio: float = 1.0
    """Only linears whose largest input on the calibration text is more than this many times the
    largest one of the other channels have outlier channels; 1 is every linear. Few layers of a
    model have such inputs (massive activations, arXiv:2402.17762)."""

    def __post_init__(self) -> None:
        require_pattern(self.pattern)
        group = self.group_size
        require(group is None or group > 0, "group_size", "must be positive", group)
        require_length(self, "outliers", at_least=0)
        least = self.outlier_ratio
        require(1 <= least < math.inf, "outlier_ratio", "must be a number from 1 up", least)
        require(
            self.layers is None or re.fullmatch(_LAYERS, self.layers.replace(" ", "")) is not None,
            "layers", "must be numbers and ranges such as 0,2-5,28-", self.layers,
        )  # fmt: skip
        for first, last in re.findall(r"(\d+)-(\d+)", self.layers or ""):
            rule = f"the range {first}-{last} holds nothing"
            require(int(first) <= int(last), "layers", rule, self.layers)


_RANGE = r"(\d{1,6}|\d{1,6}-\d{0,6}|-\d{1,6})"
_LAYERS = rf"{_RANGE}(,{_RANGE}){{0,199}}"


@dataclass
class CalibrationConfig:
    """The calibration text, on which activation ranges and quantization errors are measured."""

    text: str | None = None
    """A UTF-8 text file; null is the end of the English text that ships with the package."""
    dataset: str | None = None
    """Used instead of text: a dataset on the Hugging Face hub (ORG/NAME), or a folder with its
    files (.jsonl, .parquet, .txt, .csv). It is read from the beginning."""
    dataset_config: str | None = None
    """Name of the dataset configuration, if the dataset has several."""
    dataset_revision: str | None = None
    """Branch, tag or commit of the dataset."""
    split: str = "train"
    """Split of the dataset."""
    column: str = "text"
    """Column of the dataset that holds the text."""
    tokens: int = 1024
    """Number of calibration tokens: the last ones of a text, the first ones of a dataset."""
    window: int = 256
    """Tokens per window; each window starts with an empty KV cache."""

    def __post_init__(self) -> None:
        require(
            self.text is None or self.dataset is None, "calibration.dataset",
            "there is a calibration.text as well; one of them must be null", self.dataset,
        )  # fmt: skip
        require(self.tokens > 1, "calibration.tokens", "must be at least 2", self.tokens)
        require(self.window > 1, "calibration.window", "must be at least 2", self.window)


@dataclass
class SmoothConfig:
    """SmoothQuant (arXiv:2211.10438): migrates activation outliers into the weights, offline."""

    alpha: float | None = 0.5
    """Migration strength: 0 leaves the activations unchanged, 1 moves their whole range into the
    weights. null is 0.5, and no smoothing where the model or the rest of the recipe excludes it."""
    pattern: str = ".*"
    """Regular expression that must match the whole names of the linear layers that share a
    smoothed input."""
    steps: int = 0
    """Steps of the gradient descent that refines the scales to the least rounding error of inputs
    and weights under the recipe's own rules; 0 keeps SmoothQuant's, 30 are enough."""

    def __post_init__(self) -> None:
        require(self.steps >= 0, "smooth.steps", "must be at least 0", self.steps)
        require(
            self.alpha is None or 0 <= self.alpha <= 1,
            "smooth.alpha", "must be between 0 and 1", self.alpha,
        )  # fmt: skip
        require_pattern(self.pattern)


@dataclass
class AwqConfig:
    """AWQ (arXiv:2306.00978): scales weight channels, offline, by a power of their mean input
    magnitude. The exponent is searched for each set of linear layers with a common input: the
    one with the least error under the recipe's own rules is used."""

    steps: int = 10
    """Exponents to try: 0, 1/steps, 2/steps ... 1. Exponent 0 changes nothing."""
    pattern: str = ".*"
    """Regular expression that must match the whole names of the linear layers that share a
    scaled input."""

    def __post_init__(self) -> None:
        require(self.steps > 0, "awq.steps", "must be positive", self.steps)
        require_pattern(self.pattern)


@dataclass
class RotateConfig:
    """Rotations that spread outliers over all channels (QuaRot, arXiv:2404.00456; SpinQuant,
    arXiv:2405.16406). They are Hadamard matrices where the size allows it."""

    r1: bool | None = True
    """Rotate the residual stream (R1). Norm weights are folded into the linear layers that read
    the norm; a tied embedding stays tied by a float32 product in front of the output head, unless
    quant.tied=untied or the norms subtract the mean. null, which options state: r1 and r4=64, as
    far as the model allows."""
    r2: bool = True
    """Rotate the values of each attention head (R2)."""
    r4: int | None = None
    """Rotate what the last linear of every feed-forward network reads (R4), at run time and in
    blocks of this many channels; null is off."""
    seed: int = 0
    """Seed of the random signs, or of the random matrix."""

    def __post_init__(self) -> None:
        rotates = self.r1 is not False or self.r2 or self.r4 is not None
        what = "nothing to rotate: r1 or r2 must be true, or r4 set"
        require(rotates, "rotate.r1", what, False, "quant.rotate=null, which rotates nothing")
        require(self.r4 is None or self.r4 > 1, "rotate.r4", "must be at least 2", self.r4)


@dataclass
class RoundingConfig:
    """How weights are rounded to quantized values."""

    method: str = "minmax"
    """minmax: scales from the extreme values of each group. mse: scales with the least squared
    error, each weight's counted by the mean square of its input on the calibration text. auto:
    gptq; mse where the model's layers or its text are unknown; minmax for random weights and for
    training. hqq: scales that minimize the weight error;
    needs no calibration text. gptq (arXiv:2210.17323): minimizes the output error on the
    calibration text, one layer at a time; each layer gets the outputs of the quantized layers
    before it."""
    keep_grids: bool = True
    """Keep the integers and scales of weights that are already quantized with this scheme in the
    checkpoint, whatever the method."""
    damping: float = 0.1
    """gptq and mse: added to the diagonal of the Hessian (the sum of x x^T) or to the mean squares,
    as a fraction of the mean. A larger value relies less on the calibration text."""
    act_order: bool = True
    """gptq: quantize the columns with the largest inputs first, with scales computed from the
    float weights. If false, columns are quantized from left to right, and a group's scales are
    computed when the group is reached; those of zero points that are columns of the weight (as on
    xnnpack) are of the float weights in any case."""
    block: int = 128
    """gptq: number of columns whose errors are propagated to all later columns at once."""

    widest: int | None = 4096
    """gptq: linears with more inputs are rounded by mse, because time grows with the cube of the
    inputs and memory with the square. null is no limit."""

    def __post_init__(self) -> None:
        widest = self.widest
        require(widest is None or widest > 0, "rounding.widest", "must be positive", widest)
        require(0 < self.damping < 1, "rounding.damping", "must be between 0 and 1", self.damping)
        require(self.block > 0, "rounding.block", "must be positive", self.block)


@dataclass
class AutoConfig:
    """Automatic mixed precision: chooses a candidate for every weight, with the least total loss
    within a budget.

    The loss of a candidate is the mean KL divergence from the float model, on the end of the
    calibration text, when only that weight is quantized. Losses are assumed to be additive."""

    candidates: list[QuantRule] = field(default_factory=list)
    """Candidates, written as rules: each may be chosen for the modules that it matches. A
    candidate is skipped for a weight if the backend does not support it or its group size does
    not divide the weight. Weights that a rule of ``rules`` matches are not searched."""
    tokens: int = 512
    """Tokens on which losses are measured; the search time is proportional to it."""
    window: int = 256
    """Tokens per window; each window starts with an empty KV cache."""
    keep_measurements: bool = False
    """Keep the measured losses in the cache folder, for runs with another budget."""

    def __post_init__(self) -> None:
        require(self.tokens > 1, "auto.tokens", "must be at least 2", self.tokens)
        require(self.window > 1, "auto.window", "must be at least 2", self.window)
        ratio = max((rule.outlier_ratio for rule in self.candidates), default=1)
        # Which linears have large inputs is not a choice.
        require(ratio == 1, "auto.candidates", "each must have an outlier_ratio of 1", ratio)


@dataclass
class QuantConfig:
    """Quantization: an ordered list of rules. The first rule that matches a module applies."""

    name: str = MISSING
    rules: list[QuantRule] = field(default_factory=list)
    """Which scheme each weight gets: the first rule that matches applies. Weights that no rule
    matches stay in float."""
    group_size: int | None = None
    """Group size that the rules of the chosen option refer to."""
    outliers: int | None = 0
    """Number of outlier channels that the rules of the chosen option refer to. null is 8, 4 with
    an outlier_ratio, or 0 where the rest of the recipe allows none."""
    max_mean_kl: float | None = QUALITY_LIMIT
    """Largest mean KL divergence from float32, in nats, with which a run succeeds. 0.3 is where
    the scale of the verdict goes from visible loss to poor; options with less loss set less, so
    that a faulty export fails. null is no limit."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    smooth: SmoothConfig | None = None
    """SmoothQuant before quantization; null is off."""
    awq: AwqConfig | None = None
    """AWQ before quantization, instead of smooth; null is off."""
    rotate: RotateConfig | None = None
    """Rotations, before smooth or awq; null is off."""
    rounding: RoundingConfig = field(default_factory=RoundingConfig)
    qat: QatConfig = field(default_factory=QatConfig)
    """The quantization-aware training of the checkpoint, if it had any."""
    tied: TiedKind = TiedKind.auto
    """For an embedding that is tied to the output head. share: the file stores one quantized
    tensor for both; the rules of both must allow it. untied: the tensor is stored twice. auto:
    share where possible."""
    head_split: int = 0
    """Number of the first rows of the output head, and of an embedding tied to it, that are
    matrices of their own, head.first and embed.first, beside head.rest and embed.rest, so that
    rules can give frequent token ids more bits: tokenizers number them in the order of merges.
    0 is one matrix."""
    kv_cache: CacheDtype = CacheDtype.float
    """int8: keys and values in 8 bits, with a scale and a zero point per position and KV head;
    needs about 0.3 of the memory. attention=custom_op then multiplies in 8 bits, with kernels
    written for Arm that are several times slower than the float kernels on x86. int8 raises the
    mean KL that an option allows by 0.005. bfloat16: halves the memory, and the time of attention
    over a long context; uses attention=custom_op_by_head in bfloat16. auto: a run measures the
    attention of one layer in each of them on this machine, with half of the context filled, and
    takes the fastest, or the smallest of those that are equally fast. For another machine (a
    backend that does not run here, deploy.targets) it is float."""
    auto: AutoConfig | None = None
    """Automatic mixed precision: choose schemes by measured loss, within one of the two budgets
    below. null: use the rules only."""
    bits_per_weight: float | None = None
    """Budget of quant.auto: average bits per weight over all weight matrices in the file,
    including their scales, offsets and outlier channels."""
    file_megabytes: float | None = None
    """Budget of quant.auto: size of all constants in the file, in 10^6 bytes."""
    allow_larger_file: bool = False
    """Accept a program file that is larger than predicted from the rules."""
    description: str = ""

    def __post_init__(self) -> None:
        require(self.head_split >= 0, "head_split", "must be at least 0", self.head_split)
        require_length(self, "group_size")
        require_length(self, "outliers", at_least=0)
        for key in ("bits_per_weight", "file_megabytes"):
            value = getattr(self, key)
            require(value is None or 0 < value < float("inf"), key, "must be positive", value)
