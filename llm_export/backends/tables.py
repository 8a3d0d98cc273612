"""Embedding lookups of ExecuTorch's own kernels, available to every backend."""

from __future__ import annotations

from llm_export.quant.schemes import Support

EMBEDDING = {
    "8w": Support(per_channel=True, groups=32, delegated=False),
    "4w": Support(per_channel=False, groups=32, delegated=False),
    "2w": Support(per_channel=False, groups=32, delegated=False),
    "fp16": Support(per_channel=True, groups=0, delegated=False),
    "bf16": Support(per_channel=True, groups=0, delegated=False),
}
"""Kernels ``quantized_decomposed::embedding_{byte,4bit,2bit}`` and ``aten::embedding``."""
