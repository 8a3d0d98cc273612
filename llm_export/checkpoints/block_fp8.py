"""Block-scaled float8 weights, the format in which DeepSeek-V3 was published.

DeepSeek-V3 Technical Report (arXiv:2412.19437), section 3.3.2: weights are scaled in blocks of 128
x 128. ``NAME_scale_inv`` is the factor that dequantizes the stored values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import TensorInfo
from llm_export.checkpoints.packed import Contents, Packed
from llm_export.checkpoints.spans import Span
from llm_export.errors import CheckpointError

Block = tuple[int, int]
_TYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
_SCALE = "_scale_inv"
_ACTIVATION = ".activation_scale"


def dequantize(weight: Tensor, scale: Tensor, *, block: Block) -> Tensor:
    """Multiply each block by its scale, in float32.

    Args:
        weight: [..., N, K] float8; blocks at the end may be partial.
        scale: [..., ceil(N / block[0]), ceil(K / block[1])], or a single one.
    """
    out = weight.to(torch.float32)
    scale = scale.to(torch.float32)
    if scale.numel() == 1:
        return out.mul_(scale.reshape(()))
    rows, width = out.shape[-2], block[1]
    by_row = scale.repeat_interleave(block[0], dim=-2)[..., :rows, :]
    # Process one column of blocks at a time: expanded scales would need as much memory as the
    # weight.
    for i in range(scale.shape[-1]):
        out[..., i * width : (i + 1) * width].mul_(by_row[..., i : i + 1])
    return out


def contents(spans: Mapping[str, Span], settings: Mapping[str, Any], folder: Path) -> Contents:
    """Pair float8 tensors with their scales; all other tensors are stored unquantized.

    Args:
        settings: ``weight_block_size``, two sizes; null or absent is one scale per weight.

    Raises:
        CheckpointError: a scale is missing, alone, or of another shape than the blocks ask for.
    """
    size = _block_size(settings, folder)
    packed = {n: _packed(n, size, spans, folder) for n, s in spans.items() if s.dtype in _TYPES}
    for name in spans:
        weight = name.removesuffix(_SCALE)
        if name.endswith(_SCALE) and weight not in packed:
            stored = f"is {spans[weight].info.dtype}" if weight in spans else "is missing"
            raise CheckpointError(
                f"'{name}' scales a float8 tensor, but '{weight}' {stored}", where=str(folder)
            )
    return Contents(packed, frozenset(n for n in spans if n.endswith(_ACTIVATION)))


def _packed(name: str, size: Block | None, spans: Mapping[str, Span], folder: Path) -> Packed:
    weight, scale = spans[name], spans.get(name + _SCALE)
    if scale is None:
        raise CheckpointError(
            f"'{name + _SCALE}', the scale of the float8 tensor '{name}', is missing",
            where=str(folder),
        )
    if len(weight.shape) < 2:
        raise CheckpointError(f"'{name}' is float8 and no matrix", where=str(folder))
    *batch, rows, columns = weight.shape
    block = size or (rows, columns)
    grid = (*batch, -(-rows // block[0]), -(-columns // block[1]))
    single = scale.shape in ((), (1,)) and size is None and not batch
    if (not single and scale.shape != grid) or not scale.dtype.is_floating_point:
        raise CheckpointError(
            f"'{name + _SCALE}' is {scale.info.dtype} {scale.shape}; blocks of {block} in "
            f"{weight.shape} need floats of {grid}",
            where=str(folder),
            fix="check weight_block_size in config.json",
        )
    return Packed((name, name + _SCALE), TensorInfo(weight.shape, weight.info.dtype),
                  partial(dequantize, block=block))  # fmt: skip


def _block_size(settings: Mapping[str, Any], folder: Path) -> Block | None:
    size = settings.get("weight_block_size")
    if size is None:
        return None
    if not isinstance(size, list) or len(size) != 2 or not all(_positive(n) for n in size):
        raise CheckpointError(
            f"weight_block_size={size!r} is not two positive whole numbers",
            where=f"{folder / 'config.json'}: quantization_config",
        )
    return size[0], size[1]


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
