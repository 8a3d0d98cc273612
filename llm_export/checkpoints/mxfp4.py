"""MXFP4, the format in which gpt-oss was published: blocks of 32 4-bit floats with 8-bit scales.

OCP Microscaling Formats (MX) Specification v1.0, sections 5.3.3 (FP4 E2M1) and 5.4.1 (E8M0). Shape
legend: X experts, N outputs, G groups of 32 inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import TensorInfo
from llm_export.checkpoints.packed import Contents, Packed
from llm_export.checkpoints.spans import Span
from llm_export.errors import CheckpointError

GROUP = 32
_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Values of E2M1 without the sign (the fourth bit): one mantissa bit, and a subnormal 0.5."""

_BLOCKS, _SCALES = "_blocks", "_scales"


def dequantize(blocks: Tensor, scales: Tensor) -> Tensor:
    """The experts' weights, transposed as in transformers' ``GptOssExperts``.

    Args:
        blocks: [X, N, G, 16] uint8, two values per byte, the lower index in the low bits.
        scales: [X, N, G] uint8; s encodes 2**(s - 127), and 255 is NaN.

    Returns:
        [X, 32 * G, N] bfloat16, which represents every value exactly.
    """
    experts, rows, groups, _ = blocks.shape
    pairs = _values_of_bytes()
    out = torch.empty(experts, GROUP * groups, rows, dtype=torch.bfloat16)
    # One expert at a time: the lookup indices take eight times the memory of the blocks.
    for i in range(experts):
        values = pairs[blocks[i].int()].flatten(-2)  # [N, G, 32]
        scale = scales[i].view(torch.float8_e8m0fnu).to(torch.bfloat16)
        out[i] = values.mul_(scale.unsqueeze(-1)).flatten(-2).T
    return out


def _values_of_bytes() -> Tensor:
    """[256, 2] bfloat16: the two values of each byte."""
    values = torch.tensor((*_MAGNITUDES, *(-m for m in _MAGNITUDES)), dtype=torch.bfloat16)
    byte = torch.arange(256)
    return torch.stack((values[byte & 15], values[byte >> 4]), dim=-1)


def contents(spans: Mapping[str, Span], settings: Mapping[str, Any], folder: Path) -> Contents:
    """Pair ``NAME_blocks`` with ``NAME_scales``; all other tensors are stored unquantized.

    Raises:
        CheckpointError: one of a pair is missing, or they do not fit together.
    """
    names = {n.removesuffix(end) for end in (_BLOCKS, _SCALES) for n in spans if n.endswith(end)}
    return Contents({name: _packed(name, spans, folder) for name in sorted(names)})


def _packed(name: str, spans: Mapping[str, Span], folder: Path) -> Packed:
    parts = (name + _BLOCKS, name + _SCALES)
    for part in parts:
        if part not in spans:
            raise CheckpointError(f"'{part}', a part of '{name}', is missing", where=str(folder))
    if name in spans:
        raise CheckpointError(f"'{name}' is stored twice, in MXFP4 too", where=str(folder))
    blocks, scales = (spans[part] for part in parts)
    sound = len(blocks.shape) == 4 and blocks.shape == (*scales.shape, GROUP // 2)
    if not sound or {blocks.dtype, scales.dtype} != {torch.uint8}:
        raise CheckpointError(
            f"'{name}' is no MXFP4: its blocks are {blocks.info.dtype} {blocks.shape}, its scales "
            f"{scales.info.dtype} {scales.shape}",
            where=str(folder),
            fix="u8 (experts, outputs, groups, 16) and u8 (experts, outputs, groups)",
        )
    experts, rows, groups = scales.shape
    return Packed(parts, TensorInfo((experts, GROUP * groups, rows), "mxfp4"), dequantize)
