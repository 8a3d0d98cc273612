"""GPTQ (arXiv:2210.17323): round column by column and compensate errors in later columns.

For a weight W [N, K] and H, the sum of x x^T over inputs, the output error is tr((W - V) H (W -
V)^T). After column k is rounded, the optimal update of the columns after it is -e_k U[k, k+1:] /
U[k, k], where e_k is the column's error and U the upper triangular factor of H^-1 = U^T U.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.rounding.base import Needs
from llm_export.quant.rounding.scales import best_ranges, damped

_TRIES = 4
"""Each attempt multiplies the damping by ten."""


@dataclass(frozen=True)
class GPTQ:
    """Attributes: see ``RoundingConfig``."""

    needs: Needs = Needs.products
    costly: bool = True
    damping: float = RoundingConfig.damping
    act_order: bool = True
    block: int = 128

    def configured(self, settings: RoundingConfig) -> GPTQ:
        return replace(
            self, damping=settings.damping, act_order=settings.act_order, block=settings.block
        )

    def round(self, weight: Tensor, spec: GridSpec, inputs: Tensor | None = None) -> Grid:
        """Inputs that are zero in ``inputs`` (outlier channels, or channels that no token used)
        neither contribute to nor compensate the errors of others.

        Raises:
            ValueError: no hessian, or one that is not positive semidefinite.
        """
        if inputs is None:
            raise ValueError("GPTQ needs what the matrix is multiplied with")
        order = torch.arange(weight.shape[1])
        if self.act_order:
            order = inputs.diagonal().argsort(descending=True, stable=True)
        factor = inverse_factor(inputs[order][:, order], self.damping)
        importance = damped(inputs.diagonal(), self.damping)
        return _round(weight, spec, factor, order, importance, self.act_order, self.block)


ROUNDER = GPTQ()


def inverse_factor(hessian: Tensor, damping: float) -> Tensor:
    """Upper triangular U with U^T U = (H + damping * mean(diag H))^-1, float32 [K, K].

    H = R R^T with R upper triangular is the Cholesky factor from the last row up, and
    U = R^-1; the inverse of H itself, of twice the condition, is never made.

    Raises:
        ValueError: not positive semidefinite.
    """
    # Inputs of language models have channels that are thousands of times the others.
    matrix = hessian.double()
    diagonal = matrix.diagonal()
    if not bool(torch.isfinite(diagonal).all()) or not float(diagonal.mean()) > 0:
        raise ValueError("the inputs of the matrix are zero or not finite")
    mean = diagonal[diagonal > 0].mean()
    for attempt in range(_TRIES):
        damped = matrix.clone()
        damped.diagonal().add_(mean * damping * 10**attempt)
        lower, info = torch.linalg.cholesky_ex(damped.flip(0, 1))
        if not int(info):
            upper = lower.flip(0, 1)
            one = torch.eye(len(upper), dtype=upper.dtype)
            return torch.linalg.solve_triangular(upper, one, upper=True).float()
    raise ValueError("the sum of x x^T is not positive semidefinite")


def _round(
    weight: Tensor, spec: GridSpec, factor: Tensor, order: Tensor, importance: Tensor,
    static: bool, block: int,
) -> Grid:  # fmt: skip
    """Round the columns of ``weight`` in the given order.

    Args:
        importance: of the columns, for the scales.
        static: scales are those of the float weight. Else each group's are made when it is
            reached, of the values that it has then, which needs the natural order. Offsets that
            are columns share scales, and so are those of the float weight in any case.
    """
    # Transposed, because columns are read and written.
    rest = weight.float()[:, order].t().contiguous()
    columns, rows = rest.shape
    size = spec.group or columns
    scale, offset = (_transposed(t) for t in _scales(weight.float(), spec, importance))
    q = torch.empty(columns, rows, dtype=torch.int8)
    whole_row = replace(spec, group=None)
    for start, end in _blocks(columns, size, block):
        errors = torch.empty(end - start, rows)
        for k in range(start, end):
            group = int(order[k]) // size
            if not (static or spec.offset_columns) and k % size == 0:
                span = slice(k, k + size)
                now = _scales(rest[span].t(), whole_row, importance[span])
                scale[group], offset[group] = (t.squeeze(1) for t in now)
            wanted = rest[k] - offset[group]
            levels = torch.round(wanted / scale[group]).clamp_(spec.low, spec.high)
            q[k] = levels
            error = (wanted - levels * scale[group]) / factor[k, k]
            rest[k + 1 : end].addr_(factor[k, k + 1 : end], error, alpha=-1)
            errors[k - start] = error
        rest[end:].addmm_(factor[start:end, end:].t(), errors, alpha=-1)
    natural = torch.empty_like(q)
    natural[order] = q
    offsets = offset.t().contiguous() if spec.zero_point else None
    return Grid(natural.t().contiguous(), scale.t().contiguous(), offsets, spec)


def _scales(weight: Tensor, spec: GridSpec, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and offsets [N, G] as the kernel keeps them; zeros for no offsets."""
    scale, offset = best_ranges(weight, spec, importance)
    return scale, torch.zeros_like(scale) if offset is None else offset


def _transposed(x: Tensor) -> Tensor:
    return x.t().contiguous()


def _blocks(columns: int, size: int, block: int) -> Iterator[tuple[int, int]]:
    """Spans of about ``block`` columns: several whole groups, or parts of one group, so that
    a group's first column has seen all errors before it in every column of the group."""
    span = max(block // size, 1) * size
    for start in range(0, columns, span):
        end = min(start + span, columns)
        step = block if size > block else span
        for first in range(start, end, step):
            yield first, min(first + step, end)
