"""ExecuTorch's ``TensorSpec``, of which memory planning has one for each tensor of a graph.

It has no copy that stands for another tensor: places in memory go along, and a view's attributes
are those of its base. Written for executorch 1.5.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


def is_spec(value: Any) -> bool:
    return hasattr(value, "shape_dynamism")


def spec_copy(spec: Any, base: Callable[[Any], Any]) -> Any:
    """A spec for another tensor of the same shape, without a place in memory.

    Args:
        base: given the base of a view, the base of its copy.
    """
    former = getattr(spec, "_base", None)
    if former is not None:
        # Its constructor and its attributes look at the base; a copy is made past both.
        view = object.__new__(type(spec))
        state = object.__getattribute__(spec, "__dict__")
        object.__getattribute__(view, "__dict__").update(
            {**state, "shape": list(state["shape"]), "_base": base(former)}
        )
        return view
    made = copy.copy(spec)
    made.shape = list(spec.shape)
    made.init_mem_planning_fields()
    return made


def spec_without_base(spec: Any) -> Any:
    """A spec of the same shape that is no view; what is no spec stays as it is."""
    import torch
    from executorch.exir.tensor import TensorSpec

    if not isinstance(spec, TensorSpec):
        return spec
    made = TensorSpec(spec.dtype, torch.Size(spec.shape))
    made.stride, made.dim_order = spec.stride, spec.dim_order
    made.shape_dynamism = spec.shape_dynamism  # the shape is the largest that it may have
    return made


def spec_of(example: Any) -> Any:
    """The spec of a tensor."""
    from executorch.exir.tensor import TensorSpec

    return TensorSpec.from_tensor(example)


def allocation() -> Any:
    """The operator that stands for the memory of a result."""
    from executorch.exir import memory

    return memory.alloc
