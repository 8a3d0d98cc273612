"""The dtype that the rules set for the whole model, and for its embedding alone. Recipe checks
ask for its scheme, so torch is imported where a dtype is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import RecipeError
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES, Flow

if TYPE_CHECKING:
    import torch


def model_dtype(choices: Iterable[LayerQuantSpec]) -> torch.dtype:
    """The dtype that the model computes in; see ``cast_scheme``."""
    import torch

    scheme = cast_scheme(choices)
    return torch.float32 if scheme is None else dtype_of(scheme)


def cast_scheme(choices: Iterable[LayerQuantSpec]) -> str | None:
    """The scheme that casts the model; None if it computes in float32. Either all its weights are
    cast or none.

    Raises:
        RecipeError: only some weights are cast, or to different dtypes.
    """
    choices = list(choices)
    products = [c for c in choices if c.kind is not ModuleKind.embedding]
    cast = next((c for c in products if c.flow is Flow.cast), None)
    if cast is None:
        return None
    tables = [c for c in choices if c.kind is ModuleKind.embedding and not c.on_grid]
    odd = next((c for c in (*products, *tables) if c.scheme != cast.scheme), None)
    if odd is not None:
        raise RecipeError(
            f"'{cast.name}' is {cast.scheme} and '{odd.name}' is {odd.scheme}: a model computes "
            "in one dtype",
            where=f"quant.rules[{cast.rule}]",
            fix=f"quant={cast.scheme} for the whole model, or {cast.scheme} for embeddings only",
        )
    return cast.scheme


def dtype_of(scheme: str) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, SCHEMES[scheme].dtype)
    return dtype
