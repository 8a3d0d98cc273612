"""Quantized weights from training with torchao's fake quantizers.

A fake quantizer rounds a weight in each forward pass and does not store the result, so a
checkpoint contains floats. Export must quantize exactly as training did: the same formula for
scales, the same precision, rounding and minimum scale. Training and export therefore both use
torchao's code.

Activations: training with int8 per-token activations computes bit for bit what torchao's quantized
tensor computes in the exported program (torchtune's quantizer has a larger minimum scale, which
matters only for tokens whose values are all within 3e-5). XNNPACK's formula for the zero point
differs, so an activation may be off by one step; verification measures this.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm_export.compat.torchao_primitives import fake_quantized
from llm_export.config.qat_schema import QatConfig, ZeroPointDomain
from llm_export.errors import RecipeError
from llm_export.quant.grid import Grid, GridSpec


def fake_quantizer(spec: GridSpec, settings: QatConfig) -> Any:
    """torchao's module that fake-quantizes weights [N, K] with this bit width and group size."""
    from torchao.quantization.qat import IntxFakeQuantizeConfig
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer
    from torchao.quantization.quant_primitives import ZeroPointDomain as Domain

    scale = settings.scale_precision or settings.weight_precision
    in_floats = not settings.is_symmetric and settings.zero_point_domain is ZeroPointDomain.float
    kinds = {"granularity": "per_channel"} if spec.group is None else {"group_size": spec.group}
    config = IntxFakeQuantizeConfig(
        dtype=getattr(torch, f"{'u' if in_floats else ''}int{spec.bits}"),
        is_symmetric=settings.is_symmetric,
        scale_precision=_type(scale.value),
        zero_point_precision=_type(scale.value) if in_floats else torch.int32,
        zero_point_domain=Domain.FLOAT if in_floats else Domain.INT,
        eps=settings.eps,
        **kinds,
    )
    return IntxFakeQuantizer(config)


def activation_quantizer() -> Any:
    """torchao's module that fake-quantizes activations as the exported program does: int8, with a
    scale and a zero point per token.
    """
    from torchao.quantization.qat import IntxFakeQuantizeConfig
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer

    return IntxFakeQuantizer(IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False))


def trained_grid(weight: Tensor, spec: GridSpec, settings: QatConfig, name: str = "") -> Grid:
    """The fake quantizer's integers and scales for a weight float32 [N, K].

    If the kernel stores scales in less precision than training, the scales are rounded and the
    integers stay: this is closest to the fake quantizer's values. See ``training_values``.

    Raises:
        RecipeError: the grid has offsets that the rule does not allow.
    """
    scale, zero, q = _quantized(weight, spec, settings)
    if settings.is_symmetric or settings.zero_point_domain is ZeroPointDomain.integer:
        offset = None if not bool(zero.any()) else -zero.float() * scale.float()
    else:
        # (q - 2^(bits-1)) * scale + zero, and q is unsigned.
        q, offset = q - (1 << (spec.bits - 1)), zero.float()
    if offset is not None and not spec.zero_point:
        raise RecipeError(
            f"the fake quantizer of '{name}' has zero points, which the rule does not allow",
            where="quant.qat",
            fix="zero_point: true in the rule, or quant.qat.is_symmetric=true if it was",
        )
    if offset is None and spec.zero_point:
        offset = torch.zeros_like(scale, dtype=torch.float32)
    kept = scale.float().to(spec.scale_dtype).float()
    return Grid(q.to(torch.int8), kept, offset, spec)


def training_values(weight: Tensor, spec: GridSpec, settings: QatConfig) -> Tensor:
    """The values that replaced the weight in training, float32 [N, K]."""
    return fake_quantizer(spec, settings)(weight.to(_weight_type(settings))).float()


def _quantized(
    weight: Tensor, spec: GridSpec, settings: QatConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Scales and zero points [N, G] and integers [N, K] of the fake quantizer."""
    quantizer = fake_quantizer(spec, settings)
    weight = weight.to(_weight_type(settings))
    with torch.no_grad():
        quantizer(weight)
        scale, zero = quantizer.scale, quantizer.zero_point
        block = (1, spec.group or weight.shape[1])
        q = fake_quantized(weight, block, scale, zero, quantizer.config)
    return scale, zero, q.float()


def _weight_type(settings: QatConfig) -> torch.dtype:
    return _type(settings.weight_precision.value)


def _type(name: str) -> torch.dtype:
    return getattr(torch, name)
