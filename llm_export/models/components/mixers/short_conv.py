"""LFM2's gated short convolution (arXiv:2511.23404)."""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.mixers.causal_conv import CausalConv
from llm_export.models.components.mixers.state import Mixer
from llm_export.models.components.step import Step
from llm_export.models.config import ShortConvConfig


class ShortConv(Mixer):
    """[1, S, D], step -> [1, S, D]: out(c * conv(b * x)).

    Three projections instead of a joint one, because delegates cannot split a tensor of dynamic
    length; their input is quantized once all the same.
    """

    def __init__(self, hidden: int, config: ShortConvConfig) -> None:
        super().__init__()
        self.b = nn.Linear(hidden, hidden, bias=config.bias)
        self.c = nn.Linear(hidden, hidden, bias=config.bias)
        self.x = nn.Linear(hidden, hidden, bias=config.bias)
        self.conv = CausalConv(hidden, config.kernel, config.bias)
        self.out = nn.Linear(hidden, hidden, bias=config.bias)

    def readers(self) -> tuple[nn.Linear, ...]:
        return self.b, self.c, self.x

    def writers(self) -> tuple[nn.Linear, ...]:
        return (self.out,)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        c = self.c(x)
        y: Tensor = self.out(c * self.conv(self.b(x) * self.x(x), step))
        return y
