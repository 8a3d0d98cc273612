"""Classes inside of transformers' models that are replaced for export.

They are found by class and are defined in the code of a model or beside it. Written for
transformers 5.23.
"""

from __future__ import annotations

from typing import Any


def conv1d() -> Any:
    """GPT-2's linear, which stores its weight transposed."""
    from transformers.pytorch_utils import Conv1D

    return Conv1D


def falcon_linear() -> Any:
    """Falcon's linear, which rounds between product and bias."""
    from transformers.models.falcon.modeling_falcon import FalconLinear

    return FalconLinear


def tanh_gelus() -> tuple[Any, ...]:
    """The classes that compute GELU in its tanh form."""
    from transformers import activations

    return activations.GELUTanh, activations.NewGELUActivation, activations.FastGELUActivation


def causal_mask(*args: Any, **kwargs: Any) -> Any:
    """The mask that the library builds for ``scaled_dot_product_attention``; None for a causal
    one if it may be skipped."""
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*args, **kwargs)
