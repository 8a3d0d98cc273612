"""The function with which transformers' models build the masks of their own attention.

Models ask for it by the name of their attention, and give it the rule of the mask as a function of
the positions of a query and of a key. Written for transformers 5.23.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

_OWN = "eager"


@contextlib.contextmanager
def masks_of(function: Callable[..., Any]) -> Iterator[None]:
    """Context in which "eager" attention takes its masks from ``function(**arguments)``."""
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionMaskInterface.register(_OWN, function)
    try:
        yield
    finally:
        AttentionMaskInterface.register(_OWN, eager_mask)


def shown(arguments: dict[str, Any], queries: Any, keys: Any) -> Any:
    """[1, 1, S, T]: whether the rule of a mask shows queries at positions [S] keys at positions
    [T]. Padding is not part of the rule.
    """
    rule = arguments["mask_function"]
    zero = queries.new_zeros(1, 1, 1, 1)
    at = (zero, zero, queries[None, None, :, None], keys[None, None, None, :])
    return rule(*at).expand(1, 1, queries.shape[0], keys.shape[0])


def is_by_position(arguments: dict[str, Any]) -> bool:
    """Whether the rule of a mask takes tensors of positions."""
    return not arguments.get("use_vmap")


def distance_of(arguments: dict[str, Any]) -> int | None:
    """The window that the library says a mask has; None for all."""
    window = arguments.get("local_size")
    return None if window is None else int(window)
