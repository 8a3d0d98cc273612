"""torchao's classes of quantized tensors.

The one that export traces as integers, scales and a dequantize operator is defined among its
workflows; the base of all of them, and the reader of its safetensors metadata, are not
documented. Written for torchao 0.18.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def integer_tensor(
    q: Tensor, scale: Tensor, zero_point: Tensor, bits: int, group: int, dynamic: bool
) -> Any:
    """A weight [N, K] that computes in float32.

    Args:
        q: int8 [N, K].
        scale, zero_point: [N, K / group].
        dynamic: whether activations are quantized too, int8 with a scale and a zero point a token.
    """
    from torchao.quantization.quantize_.workflows import IntxUnpackedToInt8Tensor

    return IntxUnpackedToInt8Tensor(
        q,
        scale,
        zero_point,
        getattr(torch, f"int{bits}"),
        (1, group),
        torch.float32,
        "int8_asym_per_token" if dynamic else None,
    )


def is_torchao(tensor: Any) -> bool:
    """Whether a tensor is of one of torchao's classes."""
    from torchao.utils import TorchAOBaseTensor

    return isinstance(tensor, TorchAOBaseTensor)


@contextmanager
def dequantized_once(model: nn.Module) -> Iterator[None]:
    """Context in which each weight is dequantized by its first use, and not by each: what its
    operators compute is the same, bit by bit. Takes the memory of a float model."""
    weights = [each for each in model.parameters() if is_torchao(each)]
    for weight in weights:
        weight.dequantize = _kept(weight)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for weight in weights:
            del weight.dequantize


def _kept(weight: Tensor) -> Any:
    plain = weight.dequantize
    found: list[Tensor] = []

    def dequantize() -> Tensor:
        if not found:
            found.append(plain())
        return found[0]

    return dequantize


def rebuilt(recipe: Mapping[str, Any], parts: Mapping[str, Tensor]) -> Any:
    """A tensor from its entry in the metadata of a safetensors file and its parts.

    Raises:
        ValueError: it is of a class that torchao does not know.
    """
    from torchao.prototype.safetensors.safetensors_utils import object_from_dict

    return object_from_dict({**recipe, "_data": {**recipe["_data"], **parts}})
