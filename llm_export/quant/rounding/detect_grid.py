"""Recover the integers and scales of a weight that was quantized before.

Checkpoints that were quantized before (e.g. GGUF's Q4_0, Q4_1 and Q8_0) are read as floats that
are exact multiples of a scale. Scale and offset can be recovered from the values alone, because
these formats place the largest values of each group at the ends of the integer range. This also
works after whole rows were moved: fused projections, permuted heads, conversion to another file
format.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.quant.grid import Grid, GridSpec, in_blocks

_EXACT = 1e-6
"""Maximum error relative to the group's range: one or two float32 roundings."""


def find_grid(weight: Tensor, spec: GridSpec) -> Grid | None:
    """The integers and scales that reconstruct the weight, or None if any group has none.

    Scales are then rounded to the kernel's dtype (``spec.scale_dtype``).
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
        # The offset also absorbs the mean error of rounding the scale.
        offset = (groups - q * scale.unsqueeze(-1)).mean(-1)
    return Grid(q.to(torch.int8).reshape(weight.shape), scale, offset, spec)


_Found = tuple[Tensor, Tensor, Tensor | None]


def _from_ends(groups: Tensor, spec: GridSpec) -> _Found | None:
    """Least value at the lowest integer, largest at the highest (Q4_1)."""
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # The file's scales are float16; the values give them up to a float32 rounding.
    scale = ((high - low) / (spec.high - spec.low)).half().float()
    q = torch.round((groups - low) / _nonzero(scale))
    if not _fits(groups, q * scale + low) or bool((q > spec.high - spec.low).any()):
        return None
    return q + spec.low, _nonzero(scale).squeeze(-1), (low - scale * spec.low).squeeze(-1)


def _from_largest(groups: Tensor, spec: GridSpec) -> _Found | None:
    """The largest magnitude at an end of a symmetric range (Q8_0; for Q4_0 the negative end, with
    the sign of the scale chosen accordingly).
    """
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    for end in (-spec.high, spec.low):
        scale = largest / end
        q = torch.round(groups / _nonzero(scale))
        if not _fits(groups, q * scale):
            continue
        flip = scale < 0
        q, scale = torch.where(flip, -q, q), _nonzero(scale.abs())
        if spec.zero_point:
            # int4 has no value 8: groups that contain it are shifted by one step.
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
