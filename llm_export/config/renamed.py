"""Renamed keys and values: old names are still accepted, with a deprecation warning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

KEYS = {"backend.then": "backend.fallbacks"}
"""Old key -> new key. Both are in the same block."""
VALUES = {
    "checkpoint.adapter_mode": {"apart": "separate"},
    "quant.tied": {"apart": "untied"},
    "runtime.kv_cache": {"endless": "attention_sink"},
}
"""Key -> {old value: new value}."""

_OVERRIDE = re.compile(r"(?P<sign>[+~]*)(?P<key>[\w.]+)(?P<rest>.*)", re.DOTALL)


_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("renamed", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Context manager: call ``listener`` once for each warning, as soon as it is found."""
    seen: set[str] = set()

    def once(line: str) -> None:
        if line not in seen:
            seen.add(line)
            listener(line)

    token = _LISTENER.set(once)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def announce(warnings: Iterable[str]) -> None:
    """Pass warnings to the current listener, if any."""
    listener = _LISTENER.get()
    if listener is not None:
        for line in warnings:
            listener(line)


def current_key(key: str) -> str:
    """The current name of a key."""
    for old, new in KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return new + key[len(old) :]
    return key


def current_override(override: str) -> tuple[str, list[str]]:
    """An override with current names, and a warning for each old name in it."""
    found = _OVERRIDE.fullmatch(override)
    if found is None:
        return override, []
    sign, old, rest = found["sign"], found["key"], found["rest"]
    key = current_key(old)
    warnings = [] if key == old else [_moved(old, key)]
    if rest.startswith("={"):
        return _current_mapping(sign + key, key, rest, warnings)
    for value, new in VALUES.get(key, {}).items():
        # In a sweep, the value is one of several.
        rest, count = re.subn(rf"\b{value}\b", new, rest)
        warnings += [_said(key, value, new)] if count else []
    return sign + key + rest, warnings


def current_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Apply ``current_override`` to all overrides: (overrides, warnings)."""
    found = [current_override(override) for override in overrides]
    return [word for word, _ in found], [line for _, lines in found for line in lines]


def rename_in(body: MutableMapping[str, Any], group: str = "") -> list[str]:
    """Replace old names in a recipe, or in its block ``group``, in place.

    Returns:
        A warning for each old name.
    """
    warnings: list[str] = []
    for old, new in KEYS.items():
        block, leaf = _block(body, group, old)
        if block is not None and leaf in block:
            value = block.pop(leaf)
            block.setdefault(new.rpartition(".")[2], value)
            warnings.append(_moved(old, new))
    for key, renamed in VALUES.items():
        block, leaf = _block(body, group, key)
        value = None if block is None else block.get(leaf)
        if block is not None and isinstance(value, str) and value in renamed:
            block[leaf] = renamed[value]
            warnings.append(_said(key, value, renamed[value]))
    return warnings


def _block(
    body: MutableMapping[str, Any], group: str, key: str
) -> tuple[MutableMapping[str, Any] | None, str]:
    """The block of ``body`` that holds ``key``, and the key's last part."""
    if group and not key.startswith(f"{group}."):
        return None, ""
    *parents, leaf = key[len(group) + 1 if group else 0 :].split(".")
    node: Any = body
    for part in parents:
        node = node.get(part) if isinstance(node, MutableMapping) else None
    return (node if isinstance(node, MutableMapping) else None), leaf


def _current_mapping(
    head: str, block: str, rest: str, warnings: list[str]
) -> tuple[str, list[str]]:
    """``quant={tied: apart}``: the keys of a block, in Hydra's grammar."""
    for old, new in KEYS.items():
        parent, _, leaf = old.rpartition(".")
        if parent == block:
            rest, count = re.subn(rf"\b{leaf}(\s*:)", rf"{new.rpartition('.')[2]}\1", rest)
            warnings += [_moved(old, new)] if count else []
    for key, renamed in VALUES.items():
        parent, _, leaf = key.rpartition(".")
        for value, new in renamed.items() if parent == block else ():
            rest, count = re.subn(rf"(\b{leaf}\s*:\s*['\"]?){value}\b", rf"\1{new}", rest)
            warnings += [_said(key, value, new)] if count else []
    return head + rest, warnings


def _moved(old: str, new: str) -> str:
    return f"{old} is now {new}"


def _said(key: str, old: str, new: str) -> str:
    return f"{key}={old} is now {key}={new}"
