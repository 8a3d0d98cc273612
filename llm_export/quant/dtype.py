"""The dtype that the rules set for the whole model, and for its embedding alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import RecipeError
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES, Flow


def model_dtype(choices: Iterable[LayerQuantSpec]) -> torch.dtype:
    """The dtype that the model computes in. Either all its weights are cast or none.

    Raises:
        RecipeError: only some weights are cast, or to different dtypes.
    """
    choices = list(choices)
    products = [c for c in choices if c.kind is not ModuleKind.embedding]
    cast = next((c for c in products if c.flow is Flow.cast), None)
    if cast is None:
        return torch.float32
    tables = [c for c in choices if c.kind is ModuleKind.embedding and not c.on_grid]
    odd = next((c for c in (*products, *tables) if c.scheme != cast.scheme), None)
    if odd is not None:
        raise RecipeError(
            f"'{cast.name}' is {cast.scheme} and '{odd.name}' is {odd.scheme}: a model computes "
            "in one dtype",
            where=f"quant.rules[{cast.rule}]",
            fix=f"quant={cast.scheme} for the whole model, or {cast.scheme} for embeddings only",
        )
    return dtype_of(cast.scheme)


def dtype_of(scheme: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, SCHEMES[scheme].dtype)
    return dtype
