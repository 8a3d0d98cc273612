"""The keys of the group ``train``; see ``schema.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from llm_export.config.name_patterns import require_pattern
from llm_export.config.quant_schema import ModuleKind, require


class TrainLoss(str, Enum):
    """The training loss."""

    distill = "distill"
    cross_entropy = "cross_entropy"


@dataclass
class LoraTraining:
    """LoRA (arXiv:2106.09685): trains low-rank factors instead of the weights and merges them."""

    rank: int = 16
    """Rank of the two LoRA matrices that are trained for each weight."""
    alpha: float = 32.0
    """The product of the two LoRA matrices is multiplied by alpha / rank."""
    targets: str = ".*"
    """Regular expression that must match the whole name of a module of ``kinds``."""

    def __post_init__(self) -> None:
        require(self.rank > 0, "lora.rank", "must be positive", self.rank)
        require(self.alpha > 0, "lora.alpha", "must be positive", self.alpha)
        require_pattern(self.targets, "lora.targets")


@dataclass
class TrainConfig:
    """Quantization-aware training: a short fine-tune of the float model with weights
    fake-quantized by the rules of ``quant``, before they are quantized."""

    name: str = "off"
    enabled: bool = False
    """Whether to train the model before it is quantized."""
    loss: TrainLoss = TrainLoss.distill
    """distill: KL divergence of the next-token distribution from the float model's; it preserves
    the model's behaviour and does not fit it to the text. cross_entropy: next-token prediction
    on the text, as in pre-training; it changes the model on purpose."""
    steps: int = 100
    """Number of optimizer steps."""
    learning_rate: float = 1.0e-05
    """Peak learning rate of AdamW, after warm-up; cosine decay reduces it to a tenth."""
    batch: int = 4
    """Windows per forward pass."""
    accumulate: int = 1
    """Gradient accumulation: forward passes per optimizer step. It has the effect of a larger
    batch in less memory."""
    window: int | None = None
    """Tokens per window. null is 256, or the context if that is shorter."""
    warmup: int = 10
    """Optimizer steps during which the learning rate rises."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    kinds: list[ModuleKind] = field(default_factory=lambda: [ModuleKind.linear])
    """Kinds of modules whose weights are trained. A tied embedding and output head are one
    weight, which is trained if either kind is listed. Quantized modules that are not trained are
    fake-quantized too."""
    lora: LoraTraining | None = None
    """Train LoRA factors; null trains the weights themselves."""
    text: str | None = None
    """A UTF-8 text file; null is the English text that ships with the package. If verification
    reads the same text, the part that it reads is excluded from training."""
    max_windows: int | None = None
    """Maximum number of windows of the text; null is all of them."""
    seed: int = 0
    """Seed of the order of batches."""
    checkpoint_every: int = 20
    """Optimizer steps between training checkpoints, from which an interrupted run resumes; 0
    writes none."""
    max_mean_kl: float | None = None
    """Replaces verify.quality.max_mean_kl with loss=distill. With cross_entropy, the KL
    divergence from the model before training is not checked, because training is meant to
    change the model."""
    max_perplexity_ratio: float | None = None
    """Maximum ratio of the program's perplexity to that of the float model before training, on
    the verification text; null disables the limit."""
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("steps", "batch", "accumulate", "learning_rate"):
            require(getattr(self, key) > 0, key, "must be positive", getattr(self, key))
        for key in ("warmup", "weight_decay", "checkpoint_every"):
            value = getattr(self, key)
            require(value >= 0, key, "must not be negative", value)
        require(
            self.window is None or self.window > 1,
            "window", "must be at least 2", self.window,
        )  # fmt: skip
        require(bool(self.kinds), "kinds", "must name a kind", self.kinds)
        require(self.max_windows is None or self.max_windows > 0, "max_windows",
                "must be positive", self.max_windows)  # fmt: skip
