"""Predict the size of a program's constants."""

from __future__ import annotations

from torch import nn

from llm_export.models.components.lora import FACTORS
from llm_export.quant.dtype import model_dtype
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.size import matrix_bytes


def predict_bytes(model: nn.Module, choices: tuple[LayerQuantSpec, ...]) -> int:
    """Bytes of all constants in the file: quantizable weights, other parameters, RoPE tables.

    Mutable buffers (the KV cache) are allocated at run time and not stored; an adapter's factors
    are in a separate file.
    """
    matrices = {f"{c.name}.weight" for c in choices}
    floats = model_dtype(choices).itemsize
    others = [
        p.numel() * floats
        for name, p in model.named_parameters(remove_duplicate=False)
        if name not in matrices and not name.endswith(FACTORS)
    ]
    tables = [
        b.numel() * (floats if b.is_floating_point() else b.element_size())
        for name, b in model.named_buffers()
        if "cache" not in name
    ]
    return matrix_bytes(choices) + sum(others) + sum(tables)
