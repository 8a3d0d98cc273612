"""Find the grid on which a weight lies already.

Checkpoints that were quantized before (GGUF's Q4_0, Q4_1 and Q8_0 among them) come as floats
that fit a grid exactly. The grid can be told from the values alone, because these formats
place the largest values of each group on its ends; so it survives everything that moves whole
rows: fused projections, permuted heads, conversion to another file format.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.quant.grid import Grid, GridSpec, in_blocks

_EXACT = 1e-6
"""Largest error relative to the group's range: a rounding or two of float32."""


def find_grid(weight: Tensor, spec: GridSpec) -> Grid | None:
    """The integers and scales that give the weight back, or None if one group has none.

    Scales are then rounded to what the kernel keeps (``spec.scale_dtype``).
    """
    return in_blocks(weight, lambda rows: _grid_of(rows, spec))


def _grid_of(weight: Tensor, spec: GridSpec) -> Grid | None:
    groups = spec.grouped(weight)
    found = _from_ends(groups, spec) if spec.zero_point else None
    if found is None:
        found = _from_largest(groups, spec)
    if found is None:
        return None
    q, scale, offset = found
    scale = scale.to(spec.scale_dtype).to(torch.float32)
    if spec.zero_point:
        # The offset also takes the mean of what rounding the scale has changed.
        offset = (groups - q * scale.unsqueeze(-1)).mean(-1)
    return Grid(q.to(torch.int8).reshape(weight.shape), scale, offset, spec)


_Found = tuple[Tensor, Tensor, Tensor | None]


def _from_ends(groups: Tensor, spec: GridSpec) -> _Found | None:
    """Least value on the lowest integer, largest on the highest (Q4_1)."""
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # The file's scales are float16; the values give them up to a float32 rounding.
    scale = ((high - low) / (spec.high - spec.low)).half().float()
    q = torch.round((groups - low) / _nonzero(scale))
    if not _fits(groups, q * scale + low) or bool((q > spec.high - spec.low).any()):
        return None
    return q + spec.low, _nonzero(scale).squeeze(-1), (low - scale * spec.low).squeeze(-1)


def _from_largest(groups: Tensor, spec: GridSpec) -> _Found | None:
    """The largest magnitude on an end of a symmetric grid (Q8_0; Q4_0, where the end is the
    negative one and the scale takes the sign that this needs)."""
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    for end in (-spec.high, spec.low):
        scale = largest / end
        q = torch.round(groups / _nonzero(scale))
        if not _fits(groups, q * scale):
            continue
        flip = scale < 0
        q, scale = torch.where(flip, -q, q), _nonzero(scale.abs())
        if spec.zero_point:
            # 8 is no value of int4: groups that have it move down by one step.
            over = (q > spec.high).any(-1, keepdim=True)
            q = torch.where(over, q - 1, q)
        if bool((q > spec.high).any()) or bool((q < spec.low).any()):
            continue
        return q, scale.squeeze(-1), None
    return None


def _fits(groups: Tensor, values: Tensor) -> bool:
    error = (values - groups).abs().amax(-1)
    return bool((error <= _EXACT * groups.abs().amax(-1)).all())


def _nonzero(scale: Tensor) -> Tensor:
    tiny = torch.finfo(torch.float32).eps
    return torch.where(scale == 0, torch.full_like(scale, tiny), scale)
