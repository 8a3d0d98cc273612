"""Refine the scales of smoothing to the least rounding error.

SmoothQuant's formula looks at the largest value of each channel only. The expected squared error of
a product with rounded inputs and weights is known in closed form: an input of a token has the
variance s^2 / 12, where s is the step of that token, and a weight that of its group's step. Divided
by d, inputs lose sum_t s_t(d)^2 sum_j (d_j |W_j|)^2, and weights, multiplied by d, lose
sum_g r_g(d)^2 sum_t |x_tg / d_g|^2. Gradient descent on log d takes the sum to its least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_export.quant.blocks import one_thread
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES
from llm_export.transforms.scale_folding import FoldingPair

TOKENS = 256
"""Inputs of a place to keep."""
_ROWS = 256
"""Rows of the weights that a place looks at; of more, every n-th."""
_RATE, _FIRST, _SECOND = 0.08, 0.9, 0.999
_INPUT_LEVELS = 255


@dataclass(frozen=True)
class Rounding:
    """What the weights of a place are rounded to; its inputs have 8 bits and a step per token.

    Attributes:
        bits: of the weights.
        group: columns that share a scale; None is the whole row.
    """

    bits: int
    group: int | None

    @staticmethod
    def of(choice: LayerQuantSpec) -> Rounding | None:
        """None if not both are rounded so."""
        scheme = SCHEMES[choice.scheme]
        if not choice.on_grid or not scheme.dynamic_activations:
            return None
        return Rounding(scheme.weight_bits, choice.group_size)


def refined(
    edge: FoldingPair, scale: Tensor, inputs: Tensor, rounding: Rounding, steps: int
) -> Tensor:
    """The scale per row of the producers with the least error, found from ``scale``.

    Args:
        inputs: [T, K], of the consumers.
    """
    x, rows = inputs.float(), _some_rows([c.weight for c in edge.consumers])  # type: ignore[misc]
    energies, sizes = rows.square().sum(0), rows.abs()
    group = rounding.group or x.shape[1]
    levels = (1 << (rounding.bits - 1)) - 1

    def error(found: Tensor) -> Tensor:
        """Logarithm of the expected squared error, up to a constant."""
        d = edge.columns(found.exp())
        divided = x / d
        steps_of = (sizes * d).view(len(sizes), -1, group).amax(-1) / levels
        seen = divided.square().view(len(x), -1, group).sum(-1).mean(0)
        width = divided.amax(-1).clamp(min=0) - divided.amin(-1).clamp(max=0)
        of_inputs = (width / _INPUT_LEVELS).square().mean() * (energies * d * d).sum()
        of_weights = (steps_of.square().sum(0) * seen).sum()
        return (of_inputs + of_weights).log()

    with one_thread():  # barriers between threads would cost more than these operations
        made = _descended(error, scale.log(), steps).exp()
    return made if bool(torch.isfinite(made).all()) else scale


def _descended(error: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Adam (arXiv:1412.6980) with a rate that falls to zero. That of torch.optim takes seconds to
    import."""
    at, mean, square = start, torch.zeros_like(start), torch.zeros_like(start)
    for step in range(steps):
        with torch.enable_grad():
            point = at.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(error(point), point)
        mean = torch.lerp(slope, mean, _FIRST)
        square = torch.lerp(slope.square(), square, _SECOND)
        one, two = mean / (1 - _FIRST ** (step + 1)), square / (1 - _SECOND ** (step + 1))
        at = at - _RATE * (1 - step / steps) * one / (two.sqrt() + 1e-8)
    return at


def _some_rows(weights: Sequence[Tensor]) -> Tensor:
    """Rows of the matrices one under another. Both errors are sums over rows, so that a part of
    them gives the same balance."""
    stride = -(-sum(len(w) for w in weights) // _ROWS)
    return torch.cat([w.detach()[::stride].float() for w in weights])
