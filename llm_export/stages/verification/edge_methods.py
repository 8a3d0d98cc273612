"""Run the lowered graphs of further methods in Python, for backends that do not run here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm_export.errors import PostConditionError
from llm_export.models.contract import LanguageModel
from llm_export.resolve.recipe import ResolvedRecipe

_LIMIT, _ROUNDINGS = 0.05, 60
"""Relative error: rounded activations may differ by whole steps; in roundings of half precision."""


def require_same_methods(
    edge: Any, model: LanguageModel, resolved: ResolvedRecipe
) -> dict[str, float]:
    """Compare each lowered graph with the eager model as exported, on noise.

    Args:
        edge: an ``EdgeProgramManager``.

    Returns:
        method -> largest relative error of its outputs.

    Raises:
        PostConditionError: one is another function.
    """
    methods, found = resolved.methods, dict[str, float]()
    for method in model.further_methods(methods.prefill_length, dynamic=methods.dynamic):
        of = resolved.of_further(method.name)
        inputs = tuple(_noise(each, model.metadata.vocab_size) for each in method.inputs)
        graph = edge.exported_program(method.name).module(check_guards=False)
        with torch.no_grad(), of.reference_executor():
            made, expected = _tensors(graph(*inputs)), _tensors(method.module(*inputs))
        error = max(
            float((a.float() - b.float()).norm() / b.float().norm().clamp(min=1e-12))
            for a, b in zip(made, expected, strict=True)
        )
        eps = torch.finfo(getattr(torch, of.capabilities.computes_in)).eps
        if not error <= max(_LIMIT, _ROUNDINGS * eps):
            raise PostConditionError(
                f"lowering has changed what {method.name} computes: relative error {error:.2g}",
                where="backend", fix="another backend for it: backend.methods",
            )  # fmt: skip
        found[method.name] = error
    return found


def _noise(example: Tensor, ids: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        return torch.randn(example.shape, generator=generator).to(example.dtype)
    return torch.randint(0, ids, example.shape, generator=generator).to(example.dtype)


def _tensors(made: Any) -> list[Tensor]:
    return [made] if isinstance(made, Tensor) else list(made)
