"""Private attributes of transformers models that describe their capabilities. Written for
transformers 5.23.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

_ONE_BY_ONE = "HF_DEACTIVATE_ASYNC_LOAD"
"""The library's own switch, which it looks at when it loads."""


def is_stateful(model_class: Any) -> bool:
    """Whether models of a class keep a recurrent state."""
    return bool(model_class._is_stateful)


def keeps_states(model: Any) -> bool:
    """Whether layers of a model keep a state in the library's cache, or say so: short convolutions
    alone do not make a class stateful."""
    from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, LinearAttentionCacheLayerMixin

    config = model.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) or ()
    found = [DYNAMIC_LAYER_TYPE_MAPPING.get(kind, object) for kind in kinds]
    own = any(issubclass(layer, LinearAttentionCacheLayerMixin) for layer in found)
    return own or is_stateful(type(model))


def with_special_floats(config_class: Any, raw: Any) -> Any:
    """A config.json with the values that JSON has no number for, which the library writes as
    ``{"__float__": "Infinity"}``."""
    return config_class._decode_special_floats(raw)


def is_experts(module: Any) -> bool:
    """Whether a module stores all experts of a layer, as ``use_experts_implementation`` says in
    its attributes ``has_gate``, ``has_bias``, ``is_transposed`` and ``has_post_expert_norm``."""
    return hasattr(module, "has_post_expert_norm") and hasattr(module, "is_transposed")


def apply_gate(experts: Any, value: Any) -> Any:
    """Apply the gated activation of an experts module whose gate and up projections are fused."""
    return experts._apply_gate(value)


def ignored_names(model: Any) -> list[str]:
    """Regular expressions of checkpoint tensors that a model does not use."""
    return list(model._keys_to_ignore_on_load_unexpected or ())


def loading_one_by_one() -> contextlib.AbstractContextManager[None]:
    """Context that stops transformers' threads from converting all tensors to float32 before the
    first is assigned: experts, which it stacks, would need one and a half times their memory.
    """
    return switched_on(_ONE_BY_ONE)


@contextlib.contextmanager
def switched_on(variable: str) -> Iterator[None]:
    """Context in which an environment variable of the library is 1."""
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
