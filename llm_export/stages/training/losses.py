"""What a fine-tuning makes small. Each takes windows of ids [B, S + 1] and gives a mean in nats."""

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

    It asks for what the float model says and for nothing else, so a short training brings the
    quantized model back without fitting it to the text (arXiv:2305.17888).
    """

    def loss(windows: Tensor) -> Tensor:
        tokens = windows[:, :-1]
        with torch.no_grad():
            wanted = F.log_softmax(teacher(tokens).flatten(0, 1).float(), -1)
        found = F.log_softmax(forward(tokens).flatten(0, 1).float(), -1)
        return F.kl_div(found, wanted, reduction="batchmean", log_target=True)

    return loss
