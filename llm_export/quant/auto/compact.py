"""Express choices as few rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.quant.auto.units import Key, key_of
from llm_export.quant.rules import LayerQuantSpec

_NAME = re.compile(r"((?:.*\.)?layers\.)(\d+)\.(.+)")


@dataclass(frozen=True)
class _Place:
    """A regular expression in two parts, head and tail, and the layer of a matching module."""

    head: str
    tail: str
    layer: int | None


def rules_of(choices: Sequence[LayerQuantSpec]) -> list[QuantRule]:
    """For each kind of module the exceptions, then the default.

    Layers in which a weight has the same choice share a rule, as do weights with the same layers.
    """
    rules: list[QuantRule] = []
    for kind in ModuleKind:
        members = [c for c in choices if c.kind is kind]
        if members:
            usual, _ = Counter(key_of(c) for c in members).most_common(1)[0]
            rules += _exceptions(kind, members, usual)
            rules.append(_rule(kind, usual))
    return rules


def _exceptions(kind: ModuleKind, members: Sequence[LayerQuantSpec], usual: Key) -> list[QuantRule]:
    places = _places(members)
    every: dict[tuple[str, str], set[int | None]] = {}
    layers: dict[tuple[str, str, Key], set[int | None]] = {}
    for choice in members:
        place, key = places[choice.name], key_of(choice)
        every.setdefault((place.head, place.tail), set()).add(place.layer)
        if key != usual:
            layers.setdefault((place.head, place.tail, key), set()).add(place.layer)
    tails: dict[tuple[str, Key, str | None], list[str]] = {}
    for (head, tail, key), held in layers.items():
        whole = held == every[head, tail]
        tails.setdefault((head, key, None if whole else _ranges(held)), []).append(tail)
    return [
        _rule(kind, key, pattern=head + _either(found), layers=ranges)
        for (head, key, ranges), found in tails.items()
    ]


def _places(members: Sequence[LayerQuantSpec]) -> dict[str, _Place]:
    """Experts share a pattern, unless their choices differ."""
    shared: dict[_Place, set[Key]] = {}
    for choice in members:
        shared.setdefault(_place(choice.name, experts=True), set()).add(key_of(choice))
    mixed = {(p.head, p.tail) for p, keys in shared.items() if len(keys) > 1}
    places = {}
    for choice in members:
        place = _place(choice.name, experts=True)
        exact = (place.head, place.tail) in mixed
        places[choice.name] = _place(choice.name, experts=False) if exact else place
    return places


def _place(name: str, experts: bool) -> _Place:
    found = _NAME.fullmatch(name)
    if found is None:
        return _Place("", re.escape(name), None)
    tail = re.escape(found[3])
    if experts:
        tail = re.sub(r"(^|\\\.)experts\\\.\d+\\\.", r"\1experts\\.\\d+\\.", tail)
    return _Place(re.escape(found[1]) + r"\d+\.", tail, int(found[2]))


def _either(tails: list[str]) -> str:
    return tails[0] if len(tails) == 1 else f"({'|'.join(tails)})"


def _ranges(layers: Iterable[int | None]) -> str:
    """0-3,7"""
    numbers = sorted(n for n in layers if n is not None)
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _rule(kind: ModuleKind, key: Key, pattern: str = ".*", layers: str | None = None) -> QuantRule:
    scheme, group, zero_point, outliers, ratio = key
    return QuantRule(scheme, kind, pattern, layers, group, zero_point, outliers, ratio)
