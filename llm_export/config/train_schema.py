"""The keys of the group ``train``; see ``schema.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from llm_export.config.quant_schema import ModuleKind, require


class TrainLoss(str, Enum):
    """What training makes small."""

    distill = "distill"
    cross_entropy = "cross_entropy"


@dataclass
class LoraTraining:
    """Low-rank factors (arXiv:2106.09685) are trained instead of the weights, and merged."""

    rank: int = 16
    """Of the two small matrices that are trained in place of each weight."""
    alpha: float = 32.0
    """The factors' product is multiplied by alpha / rank."""
    targets: str = ".*"
    """Regular expression that must match the whole name of a module of ``kinds``."""

    def __post_init__(self) -> None:
        require(self.rank > 0, "lora.rank", "must be positive", self.rank)
        require(self.alpha > 0, "lora.alpha", "must be positive", self.alpha)


@dataclass
class TrainConfig:
    """Quantization-aware training: a short fine-tune of the float model that computes with the
    values which the rules of ``quant`` leave it, before these are rounded for good."""

    name: str = "off"
    enabled: bool = False
    """Whether the model is trained before it is quantized."""
    loss: TrainLoss = TrainLoss.distill
    """distill: KL of the next token's distribution to the float model's; it asks for what the
    model said before and does not fit it to the text. cross_entropy: the text itself, as in
    pre-training, which changes the model on purpose."""
    steps: int = 100
    """Updates of the weights."""
    learning_rate: float = 1.0e-05
    """Of AdamW, after warm-up; it falls to a tenth by a half cosine."""
    batch: int = 4
    """Windows of one forward pass."""
    accumulate: int = 1
    """Forward passes of one update: as a larger batch, in less memory."""
    window: int = 256
    """Tokens of a window."""
    warmup: int = 10
    """Updates during which the learning rate rises."""
    weight_decay: float = 0.0
    """AdamW's."""
    kinds: list[ModuleKind] = field(default_factory=lambda: [ModuleKind.linear])
    """Whose weights are trained. An embedding that is also the output matrix is one weight:
    it is trained if either kind is named. What is quantized and not trained is computed with
    its quantized values all the same."""
    lora: LoraTraining | None = None
    """null trains the weights themselves."""
    text: str | None = None
    """A UTF-8 text file; null is the English text that ships with the package. Of the text
    that verification reads, its part is left out."""
    max_windows: int | None = None
    """Most windows of the text; null is all of it."""
    seed: int = 0
    """Of the order of batches."""
    checkpoint_every: int = 20
    """Updates between checkpoints, from which a killed run goes on; 0 is none."""
    max_mean_kl: float | None = None
    """Instead of verify.quality.max_mean_kl with loss=distill. With cross_entropy, KL to the
    model before training is not checked: it is meant to change."""
    max_perplexity_ratio: float | None = None
    """Largest perplexity of the program relative to that of the float model before training,
    on the text of verification; null is not checked."""
    description: str = ""

    def __post_init__(self) -> None:
        for key in ("steps", "batch", "accumulate", "learning_rate"):
            require(getattr(self, key) > 0, f"train.{key}", "must be positive", getattr(self, key))
        for key in ("warmup", "weight_decay", "checkpoint_every"):
            value = getattr(self, key)
            require(value >= 0, f"train.{key}", "must not be negative", value)
        require(self.window > 1, "train.window", "must be at least 2", self.window)
        require(bool(self.kinds), "train.kinds", "must name a kind", self.kinds)
        require(self.max_windows is None or self.max_windows > 0, "train.max_windows",
                "must be positive", self.max_windows)  # fmt: skip
