"""Functions of transformers' models that compute a recurrence over a text.

Each modeling file has its own copy under the same name, which its mixer calls by that name. Their
forms for several tokens pad to whole chunks, loop over the length in Python, or begin with an empty
state. Written for transformers 5.23.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import nn

Functions = Mapping[str, Callable[..., Any]]

MAMBA = "mamba_selective_scan"
MAMBA2 = "mamba2_chunk_scan"
GATED_DELTA = "torch_chunk_gated_delta_rule"
KIMI_DELTA = "chunk_kimi_delta_attention"


@contextlib.contextmanager
def replaced(model: nn.Module, functions: Functions) -> Iterator[None]:
    """Context in which the code of a model calls these functions instead of its own."""
    own = [(file, name, getattr(file, name)) for file in _files(model) for name in functions
           if hasattr(file, name)]  # fmt: skip
    for file, name, _ in own:
        setattr(file, name, functions[name])
    try:
        yield
    finally:
        for file, name, function in own:
            setattr(file, name, function)


def calls_any(model: nn.Module, names: Iterable[str]) -> bool:
    """Whether the code of a model has one of these functions."""
    return any(hasattr(file, name) for file in _files(model) for name in names)


def _files(model: nn.Module) -> set[Any]:
    return {sys.modules[type(module).__module__] for module in model.modules()}
