"""A method of a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Method:
    """One method of a program.

    Attributes:
        module: what is traced. Modules of several methods hold the model as their attribute
            ``model``, so that parameters and buffers have one name in all of them: only then do
            the methods share them.
        inputs: example tensors. Sizes of dynamic dimensions are at least 2.
        dynamic: for each input, dimension -> ``torch.export.Dim``; None where all are fixed.
            Inputs with the same ``Dim`` have the same size there.
        repeated_layers: name in ``module`` of a ModuleList whose items are called in order and may
            be left out of the graph; empty if there is none.
        last_apart: whether lowering joins operations behind the last layer to it, so that no other
            layer is lowered like it.
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    dynamic: tuple[Mapping[int, Any] | None, ...]
    repeated_layers: str = ""
    last_apart: bool = False
