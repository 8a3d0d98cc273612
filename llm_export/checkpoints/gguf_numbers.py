"""Parameters that GGUF files keep in their metadata, as numbers for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.gguf_claims import MAX_ENTRIES
from llm_export.errors import CheckpointError, excerpt

if TYPE_CHECKING:
    from torch import Tensor

_LEARNED = tuple(f"xielu.{name}" for name in ("alpha_p", "alpha_n", "beta", "eps"))
"""Of the activation xIELU (arXiv:2411.13010)."""


def numbers_of_layers(metadata: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """``blk.N.KEY`` -> the number of layer N, [1].

    Raises:
        CheckpointError: a key does not hold a number for each layer, or one for all.
    """
    import torch

    stated = {key: metadata[key] for key in _LEARNED if key in metadata}
    if not stated:
        return {}
    layers = metadata.get(f"{metadata.get('general.architecture')}.block_count")
    alike = layers if type(layers) is int and 0 < layers <= MAX_ENTRIES else 0
    found: dict[str, Tensor] = {}
    for key, value in stated.items():
        numbers = value if isinstance(value, list) else [value] * alike
        if len(numbers) != layers or not all(type(number) is float for number in numbers):
            raise CheckpointError(
                f"{key}={excerpt(repr(value))} is not a number for each of {layers} layers",
                where=where,
                fix="fetch the file again, or convert the model anew",
            )
        found |= {f"blk.{i}.{key}": torch.tensor([number]) for i, number in enumerate(numbers)}
    return found
