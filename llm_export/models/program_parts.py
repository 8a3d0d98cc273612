"""Modules of a program's methods, made of parts of one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class PartsProgram(nn.Module):
    """A method of a program that runs some parts of a model. Parameters and buffers have the names
    that they have in the model, and those of other parts are not there, so that a program does
    not get them.

    Args:
        parts: names of children of ``model``.
        call: what the method computes, of these parts alone.
    """

    def __init__(self, model: nn.Module, parts: tuple[str, ...], call: Callable[..., Any]) -> None:
        super().__init__()
        for part in parts:
            self.add_module(part, model.get_submodule(part))
        self._call = call

    def forward(self, *inputs: Any) -> Any:
        return self._call(*inputs)
