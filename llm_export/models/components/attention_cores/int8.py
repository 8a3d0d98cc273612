"""An int8 KV cache: a quarter of the float32 memory and memory traffic.

Keys and values are quantized asymmetrically when they are written, per position and KV head (like
the tokens of KIVI, arXiv:2402.02750, with one group per head): int8, with a float32 scale and an
int8 zero point. A step also reads its own keys quantized, so that feeding a prompt in chunks gives
the same result as token by token. An unwritten slot has scale 0 and is therefore zero; entries
after a rewound position are finite and masked.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from llm_export.compat.operators import define_decomposed_quantization
from llm_export.models.components.attention_cores.base import Core, CoreShape, grouped_attention
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.step import Step

define_decomposed_quantization()  # the ``quantized`` function's operators

QuantizedTensor = tuple[Tensor, Tensor, Tensor]
"""int8 [.., E], scales float32 [.., 1], zero points int8 [.., 1]: (int8 - zero) * scale."""

_SMALLEST, _LARGEST = -128, 127

# The runtime's kernel clamps scales at 6.1e-5, unlike eager mode: too coarse for values within
# +-0.005. Multiplying by a power of two, which loses no precision, lifts them above that.
_LIFT = 1024.0


class Int8CachedCore(Core):
    """Buffers ``k_cache``, ``v_cache`` and, for each, ``_scale`` and ``_zero``."""

    slot_dim: ClassVar[int | None] = None
    """As in ``CachedCore``."""

    def __init__(self, keys: tuple[int, ...], values: tuple[int, ...]) -> None:
        super().__init__()
        for name, size in (("k_cache", keys), ("v_cache", values)):
            column = (*size[:-1], 1)
            self.register_buffer(name, torch.empty(size, dtype=torch.int8), persistent=False)
            self.register_buffer(f"{name}_scale", torch.empty(column), persistent=False)
            self.register_buffer(
                f"{name}_zero", torch.empty(column, dtype=torch.int8), persistent=False
            )

    def init_buffers(self) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            setattr(self, name, torch.zeros(buffer.shape, dtype=buffer.dtype, device="cpu"))

    def parts(self, name: str) -> QuantizedTensor:
        return getattr(self, name), getattr(self, f"{name}_scale"), getattr(self, f"{name}_zero")


class CustomOpInt8Core(Int8CachedCore):
    """``llama::update_cache`` and ``llama::custom_quantized_sdpa``; cache [B, T, K, E].

    The operator takes queries in int8 as well. Masks are as in ``CustomOpCore``.
    """

    slot_dim = 1

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        slots = layout(shape.window).slots
        size = (1, slots, shape.num_kv_heads, shape.head_dim)
        super().__init__(size, size)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        ops = torch.ops.llama
        for name, new in (("k_cache", k), ("v_cache", v)):
            for part, value in zip(self.parts(name), quantized(new), strict=True):
                ops.update_cache(value, part, step.start)
        kept = (*self.parts("k_cache"), *self.parts("v_cache"))
        self.lend(step, *kept)
        return self.attend(q, *kept, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        (q, q_scale, q_zero), (keys, k_scale, k_zero) = quantized(q), kept[:3]
        values, v_scale, v_zero = kept[3:]
        mask = step.plans[self.shape.window].mask
        return torch.ops.llama.custom_quantized_sdpa(
            q, keys, values, step.start, mask, 0.0, mask is None, self.shape.scale,
            q_zero, q_scale, k_zero, k_scale, v_zero, v_scale,
        )  # fmt: skip


class PlainInt8Core(Int8CachedCore):
    """Plain ATen operators over the whole cache [B, K, T, E], which is dequantized to float32
    layer by layer. For models or backends that the fused operator does not support.
    """

    slot_dim = 2

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        slots = layout(shape.window).slots
        keys = (1, shape.num_kv_heads, slots, shape.head_dim)
        super().__init__(keys, (*keys[:-1], shape.value_dim))
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        plan = step.plans[self.shape.window]
        assert plan.mask is not None
        for name, new in (("k_cache", k), ("v_cache", v)):
            for part, value in zip(
                self.parts(name), plainly_quantized(new.transpose(1, 2)), strict=True
            ):
                part[:, :, plan.slots] = value
        keys, values = (dequantized(*self.parts(name)) for name in ("k_cache", "v_cache"))
        self.lend(step, keys, values)
        return self.attend(q, keys, values, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        keys, values = kept
        return grouped_attention(q, keys, values, mask, self.shape, sinks)


def quantized(x: Tensor) -> QuantizedTensor:
    """Quantize x [.., E] by ExecuTorch's operators, which are two runtime kernels."""
    ops = torch.ops.quantized_decomposed
    x = x * _LIFT
    scale, zero = ops.choose_qparams_per_token_asymmetric.default(x, torch.int8)
    values = ops.quantize_per_token.default(x, scale, zero, _SMALLEST, _LARGEST, torch.int8)
    return values, scale.to(torch.float32) * (1 / _LIFT), zero.to(torch.int8)


def plainly_quantized(x: Tensor) -> QuantizedTensor:
    """The same by ATen operators. The range always includes zero, as int8 zero points require."""
    low = x.amin(-1, keepdim=True).clamp(max=0)
    high = x.amax(-1, keepdim=True).clamp(min=0)
    scale = ((high - low) * (1 / (_LARGEST - _SMALLEST))).clamp(min=1e-30)
    zero = (_SMALLEST - low / scale).round()
    values = (x / scale + zero).round().clamp(_SMALLEST, _LARGEST)
    return values.to(torch.int8), scale, zero.to(torch.int8)


def dequantized(values: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return (values.to(torch.float32) - zero.to(torch.float32)) * scale
