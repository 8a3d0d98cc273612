"""Convert dataclasses to JSON and back. Keys are in the order of the fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OPTIONAL = {"omit_none": True}
"""Field metadata: omit the field from the JSON if it is None."""

INLINE = {"inline": True}
"""Field metadata: inline the entries of this mapping into the JSON object of the dataclass. Only
for the last field."""

T = TypeVar("T")


def to_json(instance: DataclassInstance) -> dict[str, object]:
    """Convert a dataclass to a JSON object: nested dataclasses to objects, tuples to lists."""
    made: dict[str, object] = {}
    for each in fields(instance):
        value = getattr(instance, each.name)
        if each.metadata.get("inline"):
            made |= {key: _plain(item) for key, item in value.items()}
        elif value is not None or not each.metadata.get("omit_none"):
            made[each.name] = _plain(value)
    return made


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


_SCALARS: dict[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    str: (str, "a text"),
}


def from_json(kind: type[T], value: object, *, scalars: bool = False) -> T:
    """Build the dataclass ``kind`` from ``value``, the inverse of ``to_json``.

    Args:
        scalars: whether types of scalars are checked, as of values that people write.

    Raises:
        ValueError: a key is missing, unknown or of the wrong kind; the message names the first.
    """
    read: T = _read(kind, value, kind.__name__, scalars)
    return read


def _read(kind: Any, value: Any, where: str, scalars: bool) -> Any:
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where, scalars)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (option for option in inner if option is not type(None))
        return _read(kind, value, where, scalars)
    if origin in (tuple, list):
        if not isinstance(value, list):
            raise ValueError(f"{where}: not a list")
        items = (_read(inner[0], x, f"{where}[{i}]", scalars) for i, x in enumerate(value))
        return tuple(items) if origin is tuple else list(items)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise ValueError(f"{where}: not an object")
        return {k: _read(inner[1], x, f"{where}.{k}", scalars) for k, x in value.items()}
    if scalars and kind in _SCALARS:
        wanted, word = _SCALARS[kind]
        if not isinstance(value, wanted) or isinstance(value, bool) != (kind is bool):
            raise ValueError(f"{where}: {value!r} is not {word}")
    return value


def _read_dataclass(kind: Any, value: Any, where: str, scalars: bool) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: not an object")
    known = {f.name: f for f in fields(kind)}
    for name, each in known.items():
        if each.metadata.get("inline"):
            own = {k: v for k, v in value.items() if k in known}
            value = {**own, name: {k: v for k, v in value.items() if k not in known}}
    if unknown := sorted(set(value) - set(known)):
        raise ValueError(f"{where}: unknown key '{unknown[0]}'")
    for name, each in known.items():
        default = each.default is not MISSING or each.default_factory is not MISSING
        if name not in value and not default:
            raise ValueError(f"{where}: '{name}' is missing")
    hints = get_type_hints(kind)
    return kind(**{n: _read(hints[n], v, f"{where}.{n}", scalars) for n, v in value.items()})
