"""Ternary weights of BitNet b1.58 (arXiv:2402.17764), as transformers stores and applies them.

"online" checkpoints hold the float weights of training, which each forward pass rounds to three
values per matrix. "offline" ones hold the rounded values, four in a byte, and a scale.
https://huggingface.co/docs/transformers/quantization/bitnet
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import TensorInfo
from llm_export.checkpoints.packed import Contents, Packed
from llm_export.checkpoints.spans import Span
from llm_export.errors import CheckpointError, excerpt

_WEIGHT = ".weight"
_IN_A_BYTE = 4
_EMBEDDING = re.compile(r"(.+\.)?(embed_tokens|wte)")
_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    # The first is the value of a config without the key.
    "linear_class": ("bitlinear", "autobitlinear"),
    "quantization_mode": ("offline", "online"),
    "use_rms_norm": (False, None),
}


def ternary(weight: Tensor) -> Tensor:
    """Round to -s, 0 or s, where s is the mean absolute value of the matrix; float32."""
    weight = weight.to(torch.float32)
    scale = 1.0 / weight.abs().mean().clamp(min=1e-5)
    return weight.mul(scale).round_().clamp_(-1, 1).div_(scale)


def unpacked(packed: Tensor, scale: Tensor, *, divide: bool) -> Tensor:
    """[N/4, K] uint8 -> [N, K] float32. Bits 2i and 2i+1 of a byte in row r are the weight of row
    r + i * N/4, plus one; ``scale`` is a single factor, or divisor.
    """
    rows = packed.shape[0]
    out = torch.empty(_IN_A_BYTE * rows, *packed.shape[1:], dtype=torch.float32)
    for i in range(_IN_A_BYTE):
        out[i * rows : (i + 1) * rows] = (packed >> (2 * i)) & 3
    if bool((out == 3).any()):
        raise CheckpointError("a packed ternary weight holds the code 3; it has 0, 1 and 2")
    return scaled(out.sub_(1), scale, divide=divide)


def scaled(weight: Tensor, scale: Tensor, *, divide: bool) -> Tensor:
    """A weight or bias times a single factor, or divided by it, in float32."""
    factor = scale.to(torch.float32).reshape(())
    weight = weight.to(torch.float32)
    return weight / factor if divide else weight * factor


def contents(spans: Mapping[str, Span], settings: Mapping[str, Any], folder: Path) -> Contents:
    """The weights of linears, which are all matrices but embeddings, the output head, and what the
    settings except.

    Raises:
        CheckpointError: a setting is not implemented, a scale is missing or alone, or the weights
            are not stored as the settings say.
    """
    for key, accepted in _SETTINGS.items():
        if settings.get(key, accepted[0]) not in accepted:
            raise CheckpointError(
                f"BitNet weights with {key}={settings[key]!r} are not read",
                where=f"{folder / 'config.json'}: quantization_config",
                fix=f"read are {', '.join(map(repr, accepted))}",
            )
    online = settings.get("quantization_mode") == "online"
    divide = settings.get("linear_class", "bitlinear") == "bitlinear"
    kept = _patterns(settings.get("modules_to_not_convert"), folder)
    packed: dict[str, Packed] = {}
    for name, span in spans.items():
        if not name.endswith(_WEIGHT) or len(span.shape) != 2:
            continue
        module = name.removesuffix(_WEIGHT)
        if span.dtype == torch.uint8 or f"{name}_scale" in spans:
            packed[name] = _with_scale(name, spans, online, divide, folder)
            bias = f"{module}.bias"
            if bias in spans and not divide:  # this class scales the sum
                parts = (bias, f"{name}_scale")
                packed[bias] = Packed(parts, spans[bias].info, partial(scaled, divide=False))
        elif online and not _excepted(module, kept):
            packed[name] = Packed((name,), span.info, ternary)
    for name in spans:
        weight = name.removesuffix("_scale")
        if name.endswith(f"{_WEIGHT}_scale") and weight not in packed:
            raise CheckpointError(
                f"'{name}' scales '{weight}', which is missing or no matrix", where=str(folder)
            )
    return Contents(packed)


def _with_scale(
    name: str, spans: Mapping[str, Span], online: bool, divide: bool, folder: Path
) -> Packed:
    weight, scale = spans[name], spans.get(f"{name}_scale")
    bits = weight.dtype == torch.uint8
    fits = not online and (bits or not divide)  # "bitlinear" has packed weights only
    if not fits or scale is None or scale.shape not in ((), (1,)):
        raise CheckpointError(
            f"'{name}' is {weight.info.dtype}, and its scale is "
            + ("missing" if scale is None else f"{scale.info.dtype} {scale.shape}"),
            where=str(folder),
            fix="check linear_class and quantization_mode in quantization_config of config.json: "
            "offline weights have one scale each, online weights none",
        )
    rows, columns = weight.shape
    shape = (_IN_A_BYTE * rows, columns) if bits else weight.shape
    info = TensorInfo(shape, weight.info.dtype)
    return Packed((name, f"{name}_scale"), info, partial(unpacked if bits else scaled,
                                                         divide=divide))  # fmt: skip


def _patterns(stated: Any, folder: Path) -> Mapping[str, re.Pattern[str]]:
    """Names of the modules to leave as they are -> expressions that match up to the end of a part
    of a name.
    """
    names = ["lm_head"] if stated is None else stated
    try:
        return {name: re.compile(rf"(?:{name})(?:(?<=\.)|(?=\.|$))") for name in names}
    except (TypeError, re.error):
        raise CheckpointError(
            f"modules_to_not_convert={excerpt(repr(stated))} is not a list of patterns of names",
            where=f"{folder / 'config.json'}: quantization_config",
        ) from None


def _excepted(module: str, patterns: Mapping[str, re.Pattern[str]]) -> bool:
    """Whether transformers leaves a module as it is: embeddings are no linears, and a pattern may
    also be the end of a name.
    """
    ends = (module.endswith(name) or p.match(module) for name, p in patterns.items())
    return _EMBEDDING.fullmatch(module) is not None or any(ends)
