"""Copies of a module that lack some submodules, and share the tensors of the others. Written for
torch 2.13.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from torch import nn


def kept(module: nn.Module, names: Collection[str]) -> Any:
    """A copy with the submodules of these names and those that hold them."""
    made = _copied(module)
    for child_name, child in module._modules.items():
        inner = _below(child_name, names)
        if child_name in names:
            made._modules[child_name] = child
        elif inner and child is not None:
            made._modules[child_name] = kept(child, inner)
    return made


def without(module: nn.Module, names: Collection[str]) -> Any:
    """A copy without the submodules of these names."""
    made = _copied(module)
    for child_name, child in module._modules.items():
        inner = _below(child_name, names)
        if child_name not in names:
            made._modules[child_name] = (
                child if child is None or not inner else without(child, inner)
            )
    return made


def _below(name: str, names: Collection[str]) -> list[str]:
    return [each.removeprefix(f"{name}.") for each in names if each.startswith(f"{name}.")]


def _copied(module: nn.Module) -> nn.Module:
    made = copy.copy(module)
    made._modules = {}
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    return made
