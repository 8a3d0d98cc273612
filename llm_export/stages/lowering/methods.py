"""How a model is captured for each method of its program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from llm_export.backends import BACKENDS
from llm_export.config.schema import Recipe
from llm_export.models.contract import LanguageModel, ProgramForm
from llm_export.resolve.methods import FORWARD, Shapes


def dims(shapes: Shapes) -> Any:
    """``dynamic_shapes`` of torch.export; None for fixed ones."""
    if not shapes.dynamic:
        return None
    return ({1: torch.export.Dim("tokens", min=1, max=shapes.prefill_length)}, None)


def example_length(shapes: Shapes, length: int) -> int:
    """Tokens to trace with: neither 0 nor 1, which torch.export treats as special, if dynamic."""
    return min(3, length) if shapes.dynamic else length


def inputs_of(form: ProgramForm, recipe: Recipe) -> tuple[torch.Tensor, ...]:
    """The example inputs, tokens and positions in the dtype that the backend takes."""
    dtype = getattr(torch, BACKENDS.get(recipe.backend.name).capabilities.token_dtype)
    return tuple(t.to(dtype) if t.dtype == torch.int64 else t for t in form.inputs)


@contextmanager
def logits_of(model: LanguageModel, method: str) -> Iterator[None]:
    """A method that is fed padding gives all logits: the last token may be anywhere."""
    wanted = model.all_logits
    model.all_logits = wanted or method != FORWARD
    try:
        yield
    finally:
        model.all_logits = wanted
