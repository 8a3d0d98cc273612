"""The buffers in which a model keeps what it remembers of a text."""

from __future__ import annotations

from torch import nn


def state_buffers(model: nn.Module) -> dict[str, int | None]:
    """Keys, values and recurrent states: qualified name -> dimension of the slots, filled in the
    order of positions and, in a ring, from the first on again. None: every step may change all of
    it.

    A module says it of its own buffers by an attribute ``slot_dim``, and of those that differ by
    ``slot_dims``, by name.
    """
    return {
        f"{prefix}.{name}" if prefix else name: _slot_dim(module, name)
        for prefix, module in model.named_modules()
        for name, _ in module.named_buffers(recurse=False)
        if "cache" in name
    }


def _slot_dim(module: nn.Module, name: str) -> int | None:
    of_all: int | None = getattr(module, "slot_dim", None)
    differing: dict[str, int] = getattr(module, "slot_dims", {})
    return differing.get(name, of_all)
