"""Sizes of what Python's operators, methods and Jinja's filters would make, before they make it.

Each estimate is an upper bound, in characters. What is not listed makes little more than it takes,
and is weighed afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from runtime_py.template_budget import Budget, TemplateLimit

_NUMBER = re.compile(r"\d+")
_SLOW = 100_000
"""Characters that filters take which search a text again and again."""


def check_operator(budget: Budget, operator: str, left: Any, right: Any) -> None:
    """Raises TemplateLimit if the result of a binary operator would be too large."""
    budget.tick()
    if operator == "*":
        budget.expect(_product(budget, left, right))
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        budget.expect(left.bit_length() * max(0, right) / 3)
    elif operator == "%" and isinstance(left, str | bytes):
        budget.expect(_percent(budget, left, right))
    elif operator == "+":
        budget.expect(_length(left) + _length(right))


def check_method(budget: Budget, method: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Raises TemplateLimit if the result of a built-in method would be too large."""
    budget.tick()
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if isinstance(owner, str | bytes | int) and name in _METHODS:
        budget.expect(_METHODS[name](budget, owner, [*args, *named.values()]))


def check_filter(budget: Budget, name: str, value: Any, given: list[Any]) -> None:
    """Raises TemplateLimit if the result of a filter would be too large, or take long.

    Args:
        given: the filter's arguments.
    """
    budget.tick()
    if name in _FILTERS:
        budget.expect(_FILTERS[name](budget, value, given))


def check_time_format(text: Any) -> None:
    """Raises TemplateLimit if a width in a format of strftime is no width of a date."""
    if isinstance(text, str) and (len(text) > _SLOW or _widest(text) > 1000):
        raise TemplateLimit("formats a date at a large width")


def check_format_spec(budget: Budget, value: Any, spec: str) -> int:
    """Size of a value that ``str.format`` writes; raises TemplateLimit if it is too large."""
    size = budget.weigh(value).size + _widest(spec)
    budget.expect(size)
    return int(size)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 1


def _int(value: Any) -> int:
    """Numbers as they are; of what is none, nothing: the operation itself will refuse it."""
    return value if isinstance(value, int) else 0


def _widest(text: str) -> float:
    """The largest number in a format."""
    found = [n.lstrip("0") or "0" for n in _NUMBER.findall(text)]
    return max((float(n[:40]) if len(n) < 40 else float("inf") for n in found), default=0)


def _product(budget: Budget, left: Any, right: Any) -> float:
    if isinstance(left, int) and isinstance(right, int):
        return (left.bit_length() + right.bit_length()) / 3
    if isinstance(left, int):
        left, right = right, left
    if isinstance(right, int) and isinstance(left, str | bytes | list | tuple):
        return budget.weigh(left).size * max(0, right)
    return 1


def _percent(budget: Budget, text: str | bytes, given: Any) -> float:
    values = list(given.values()) if isinstance(given, Mapping) else given
    items = values if isinstance(values, list | tuple) else [values]
    shown = text.decode("latin-1") if isinstance(text, bytes) else text
    stars = [abs(_int(v)) for v in items] if "*" in shown else []
    largest = max((budget.weigh(v).size for v in [given, *items]), default=0)
    return len(shown) + shown.count("%") * max([largest * 4, _widest(shown), *stars])


Estimate = Callable[[Budget, Any, list[Any]], float]


def _padded(budget: Budget, value: Any, given: list[Any]) -> float:
    return max([_length(value), *map(_int, given)])


def _expanded(budget: Budget, value: Any, given: list[Any]) -> float:
    tabs = value.count(b"\t" if isinstance(value, bytes) else "\t")
    return len(value) + tabs * max([8, *map(_int, given)])


def _replaced(budget: Budget, value: Any, given: list[Any]) -> float:
    if len(given) < 2 or not all(isinstance(g, type(value)) for g in given[:2]):
        return _length(value)
    count = value.count(given[0])
    return len(value) + int(count) * len(given[1])


def _joined(budget: Budget, value: Any, given: list[Any]) -> float:
    """``separator.join(items)``."""
    items = given[0] if given else ()
    weight = budget.weigh(items)
    return weight.size + max(weight.entries, _length(items)) * _length(value)


def _translated(budget: Budget, value: Any, given: list[Any]) -> float:
    return _length(value) * max([1, *(budget.weigh(g).size for g in given)])


_METHODS: dict[str, Estimate] = {
    "center": _padded, "ljust": _padded, "rjust": _padded, "zfill": _padded,
    "expandtabs": _expanded, "replace": _replaced, "join": _joined, "translate": _translated,
    "to_bytes": lambda budget, value, given: max([0, *map(_int, given)]),
}  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _filter_join(budget: Budget, value: Any, given: list[Any]) -> float:
    return _joined(budget, given[0] if given else "", [value])


def _filter_indent(budget: Budget, value: Any, given: list[Any]) -> float:
    text = _text(value)
    width = max([4, *map(_int, given), *(len(g) for g in given if isinstance(g, str))])
    return len(text) + (1 + len(text.splitlines())) * width


def _filter_json(budget: Budget, value: Any, given: list[Any]) -> float:
    weight = budget.weigh(value)
    indent = max([0, *map(_int, given), *(_length(g) for g in given if isinstance(g, str))])
    between = max([2, *(budget.weigh(g).size for g in given if isinstance(g, list | tuple))])
    return 6 * weight.size + weight.entries * (between + indent * (weight.depth + 1))


def _filter_rounds(budget: Budget, value: Any, given: list[Any]) -> float:
    return max([1, *(abs(_int(g)) for g in given)]) * 1000


def _filter_parts(budget: Budget, value: Any, given: list[Any]) -> float:
    fill = max((budget.weigh(g).size for g in given), default=1)
    return max([1, *map(_int, given)]) * fill


def _filter_sum(budget: Budget, value: Any, given: list[Any]) -> float:
    # The sum of lists is their concatenation, made anew for each of them.
    weight = budget.weigh(value)
    lists = any(isinstance(g, list | tuple) for g in given)
    return float(weight.size * (len(value) if hasattr(value, "__len__") else 1)) if lists else 1


def _filter_slow(budget: Budget, value: Any, given: list[Any]) -> float:
    size = budget.weigh(value).size + sum(budget.weigh(g).size for g in given)
    if size > _SLOW + budget.most / 8:
        raise TemplateLimit(f"searches a text of more than {_SLOW:,} characters")
    wide = max([1, *(len(g) for g in given if isinstance(g, str))])
    return size * wide * 4


_FILTERS: dict[str, Estimate] = {
    "center": _padded, "indent": _filter_indent, "join": _filter_join, "tojson": _filter_json,
    "replace": lambda budget, value, given: _replaced(budget, _text(value), given),
    "format": lambda budget, value, given: _percent(budget, _text(value), tuple(given)),
    "round": _filter_rounds, "batch": _filter_parts, "slice": _filter_parts, "sum": _filter_sum,
    "striptags": _filter_slow, "urlize": _filter_slow, "wordwrap": _filter_slow,
    "pprint": _filter_slow, "xmlattr": _filter_slow,
}  # fmt: skip

TAKES_LISTS = frozenset(("join", "sum", "pprint", "tojson"))
"""Filters whose value is made a list first, if it is an iterator, so that it can be weighed."""
