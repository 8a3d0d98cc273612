"""A causal convolution with one filter per channel, and its last inputs as state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.mixers.state import State
from llm_export.models.components.step import Step


class CausalConv(State):
    """[1, S, C], step -> [1, S, C]; the state is the previous ``kernel - 1`` inputs, [1, k - 1, C].

    A sum over the taps instead of a convolution: the kernels for depthwise convolutions are slow,
    and delegates want channels first.
    """

    state_name = "conv_cache"

    def __init__(self, channels: int, kernel: int, bias: bool) -> None:
        if kernel < 2:
            raise ValueError(f"a causal convolution with {kernel} taps mixes no tokens")
        super().__init__((1, kernel - 1, channels))
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(kernel, channels))
        """[k, C]: the last row is the filter's factor on the current token."""
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None

    def forward(self, x: Tensor, step: Step) -> Tensor:
        k = self.kernel
        padded = torch.cat((self.before(step), x), dim=1)
        self.after(padded[:, 1 - k :], step)
        y = padded[:, k - 1 :] * self.weight[k - 1]
        for tap in range(k - 1):
            y = y + padded[:, tap : tap + 1 - k] * self.weight[tap]
        return y if self.bias is None else y + self.bias
