"""Training losses. Each takes windows of ids [B, S + 1] and returns a mean in nats."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Forward = Callable[[Tensor], Tensor]
"""tokens int64 [B, S] -> logits [B, S, V] of every position, from an empty cache."""

Loss = Callable[[Tensor], Tensor]
"""windows int64 [B, S + 1] -> scalar, differentiable."""


def cross_entropy(forward: Forward) -> Loss:
    """-log p of each next token of the text."""

    def loss(windows: Tensor) -> Tensor:
        logits = forward(windows[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())

    return loss


def distillation(forward: Forward, teacher: Forward) -> Loss:
    """KL(teacher || student) of the next token's distribution at each position.

    The only target is the float model's output, so a short training restores the quantized model
    without fitting it to the text (arXiv:2305.17888).
    """

    def loss(windows: Tensor) -> Tensor:
        tokens = windows[:, :-1]
        with torch.no_grad():
            wanted = F.log_softmax(teacher(tokens).flatten(0, 1).float(), -1)
        found = F.log_softmax(forward(tokens).flatten(0, 1).float(), -1)
        return F.kl_div(found, wanted, reduction="batchmean", log_target=True)

    return loss
