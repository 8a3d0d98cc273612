"""Capture settings for each method of the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.backends.methods import Methods
from llm_export.models.contract import LanguageModel, ProgramForm
from llm_export.resolve.recipe import ResolvedRecipe


def dims(methods: Methods, method: str, form: ProgramForm) -> Any:
    """``dynamic_shapes`` of torch.export; None for fixed ones."""
    if not methods.dynamic:
        return None
    tokens = torch.export.Dim("tokens", min=1, max=methods.lengths[method])
    return tuple(None if dim is None else {dim: tokens} for dim in form.token_dims)


def example_length(methods: Methods, length: int) -> int:
    """Tokens to trace with: neither 0 nor 1, which torch.export treats as special, if dynamic."""
    return min(3, length) if methods.dynamic else length


def inputs_of(form: ProgramForm, resolved: ResolvedRecipe) -> tuple[torch.Tensor, ...]:
    """The example inputs, with tokens and positions in the backend's dtype."""
    return in_token_dtype(form.inputs, resolved)


def in_token_dtype(
    inputs: tuple[Tensor, ...], resolved: ResolvedRecipe
) -> tuple[Tensor, ...]:  # fmt: skip
    dtype = getattr(torch, resolved.capabilities.token_dtype)
    return tuple(t.to(dtype) if t.dtype == torch.int64 else t for t in inputs)


@contextmanager
def logits_of(model: LanguageModel, methods: Methods, method: str) -> Iterator[None]:
    """A method that may get padding returns all logits: the last token may be at any position. So
    does the one that verifies proposed tokens."""
    wanted = model.all_logits
    model.all_logits = wanted or method != methods.main
    try:
        yield
    finally:
        model.all_logits = wanted


@contextmanager
def last_row_only(module: nn.Module, model: LanguageModel) -> Iterator[None]:
    """Logits [1, V] instead of [1, 1, V] where only the last token's are returned: the rank of
    ExecuTorch's own exports, and the only one that react-native-executorch takes. Its C++ runner
    takes both. A hook, because a module around this one would rename all weights.
    """
    if model.all_logits:
        yield
        return
    hook = module.register_forward_hook(_without_positions)
    try:
        yield
    finally:
        hook.remove()


def _without_positions(_: nn.Module, __: object, made: Any) -> Any:
    if isinstance(made, Tensor):
        return made.reshape(1, made.shape[-1])
    logits, *others = made
    return (logits.reshape(1, logits.shape[-1]), *others)
