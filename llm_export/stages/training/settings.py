"""Settings and learning-rate schedule of the training loop. Does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LoopSettings:
    """Attributes:
    steps: updates of the weights.
    learning_rate: after warm-up; it falls to a tenth by a half cosine.
    batch: windows of one forward pass.
    accumulate: forward passes of one update.
    warmup: updates during which the rate rises linearly.
    weight_decay: decoupled (AdamW, arXiv:1711.05101), on matrices only.
    clip_norm: largest norm of the whole gradient; None is no limit.
    seed: of the order of windows, and of whatever the model draws.
    checkpoint_every: updates between two checkpoints; 0 is none.
    """

    steps: int
    learning_rate: float
    batch: int = 1
    accumulate: int = 1
    warmup: int = 0
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    seed: int = 0
    checkpoint_every: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of update ``step``, the first being 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))
