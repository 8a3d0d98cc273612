"""What transformers' vision-language models do with images, where a graph of one image cannot have
it. Written for transformers 5.23.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from llm_export.compat.transformers_masks import masks_of
from llm_export.compat.transformers_models import switched_on

_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"
_COMMON = frozenset({"last_hidden_state", "pooler_output", "hidden_states", "attentions"})


@contextlib.contextmanager
def one_image() -> Iterator[None]:
    """Context in which vision encoders get one image without padding: every patch sees every other,
    and no image is left out of the batch.
    """
    with masks_of(_mask), _OneReal():
        yield


def _mask(**said: Any) -> Any:
    from transformers.masking_utils import eager_mask

    # The library leaves it out too, after a look at the values.
    unmasked = said.get("allow_is_bidirectional_skip") and said.get("local_size") is None
    return None if unmasked else eager_mask(**said)


class _OneReal(TorchFunctionMode):
    """Idefics's models drop images that are all zero from a batch, but for the only one; these and
    Mistral's divide the features of a batch by numbers of images or of tokens that they count.
    Idefics's find the positions of patches by ``bucketize``, which ExecuTorch has no kernel of.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__getitem__ and _is_mask(args[1]):
            return args[0]
        if func is Tensor.tolist and _is_count(args[0]):
            return [_ALL]
        if func is Tensor.unbind and _is_count(args[0]):
            return (_Count(),)  # tensors without values have a ``tolist`` of their own
        if func in (torch.split, Tensor.split) and _is_all(args[1:2]):
            return (args[0],)
        if func is torch.bucketize:
            return _bucketize(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


_ALL = object()
"""The number of what belongs to the only image. Anything but to divide by it fails."""


class _Count:
    def item(self) -> object:
        return _ALL


def _is_all(sizes: tuple[Any, ...]) -> bool:
    return bool(sizes) and isinstance(sizes[0], list) and any(each is _ALL for each in sizes[0])


def _is_count(value: Tensor) -> bool:
    return value.dtype == torch.int64 and tuple(value.shape) == (1,)


def _bucketize(values: Tensor, boundaries: Tensor, *, right: bool = False) -> Tensor:
    behind = boundaries <= values[..., None] if right else boundaries < values[..., None]
    return behind.sum(-1)


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype == torch.bool and tuple(index.shape) == (1,)


def unchecked() -> contextlib.AbstractContextManager[None]:
    """Context in which the library does not compare the number of image tokens in a text with that
    of features: tensors without values cannot say it.
    """
    return switched_on(_CHECKS)


def features_of(found: Any) -> tuple[list[Tensor], list[str]]:
    """(an image's features, [..., n, H] each; names of what else comes with them)"""
    pooled = getattr(found, "pooler_output", None)
    if pooled is None:
        pooled = found if isinstance(found, Tensor | list | tuple) else ()
    made = [pooled] if isinstance(pooled, Tensor) else [x for x in pooled if isinstance(x, Tensor)]
    names = list(found.keys()) if hasattr(found, "keys") else []
    return made, [name for name in names if name not in _COMMON]
