"""torchao's quantization arithmetic, which its public classes do not expose.

A checkpoint trained with fake quantizers is quantized by torchao's own formula, and HQQ's steps
are torchao's. Written for torchao 0.18.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def fake_quantized(
    weight: Tensor, block: tuple[int, ...], scale: Tensor, zero_point: Tensor, config: Any
) -> Tensor:
    """The integers [N, K], as floats, that a fake quantizer rounds a weight [N, K] to.

    Args:
        config: the fake quantizer's ``IntxFakeQuantizeConfig``.
    """
    from torchao.quantization.quant_primitives import (
        _DTYPE_TO_QVALUE_BOUNDS,
        _do_fake_quantize_affine,
    )

    low, high = _DTYPE_TO_QVALUE_BOUNDS[config.dtype]
    q, _ = _do_fake_quantize_affine(
        weight, block, scale, zero_point, torch.int32, low, high, config.zero_point_domain
    )
    return q


def hqq_scale(weight: Tensor, group: int, low: int, high: int) -> Tensor:
    """HQQ's scales [N, G] of a symmetric grid from ``low`` to ``high`` for a weight [N, K]."""
    from torchao.quantization.quant_primitives import _choose_qparams_and_quantize_scale_only_hqq

    return _choose_qparams_and_quantize_scale_only_hqq(weight, [1, group], low, high)[1]


def hqq_scale_and_offset(weight: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor]:
    """HQQ's scales and offsets for a weight [N, K], where w = (q - 2^(bits-1)) * scale + offset
    and q starts at 0.
    """
    from torchao.quantization.quant_primitives import _choose_qparams_and_quantize_affine_hqq

    _, scale, offset, _ = _choose_qparams_and_quantize_affine_hqq(
        weight, bits, group, compute_dtype=torch.float32, device="cpu"
    )
    return scale, offset
