"""Turn what a caller passes to a chat template into plain JSON values.

Other objects have methods that a template could call, and the sandbox does not know which are
harmful.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any


def plain_data(value: Any) -> Any:
    """Numbers, strings, lists, tuples and dicts; anything else becomes a text that names its type,
    such as ``<ndarray>`` (transformers does the same).
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    # A subclass, such as an enum, goes back to its base type.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {plain_data(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain_data(item) for item in value)
    if "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].generic):
        return plain_data(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):  # pydantic
        return plain_data(value.model_dump())
    return f"<{type(value).__name__}>"


_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of a message's reasoning, the usual one first."""


def message_data(message: Any) -> Any:
    """A message as templates read it: keys with the value None are left out, and reasoning stands
    under each name by which templates ask for it.
    """
    data = plain_data(message)
    if not isinstance(data, dict):
        return data
    data = {key: value for key, value in data.items() if value is not None}
    reasoning = next((data[name] for name in _REASONING if name in data), None)
    if reasoning is None:
        return data
    return {"thinking": reasoning, **data, "reasoning_content": reasoning}
