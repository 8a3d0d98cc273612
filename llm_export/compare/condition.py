"""A checked condition over the quantities of two bundles; ``expression`` makes it from its text."""

from __future__ import annotations

import ast
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

BASE = "base"
ARITHMETIC: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
COMPARED: dict[type, Callable[[float, float], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
NUMERIC: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
OF_NAMES = ("significant", "worse_by")


class UndecidedError(Exception):
    """What is asked has no answer; the text says why. A condition may have one all the same: a
    false part decides an ``and``, a true one an ``or``."""


class MissingError(Exception):
    """A quantity was not measured; the text says which and where. No condition that names it has an
    answer."""


class Values(Protocol):
    """Where the values of names come from. All raise MissingError, the last two UndecidedError."""

    def value(self, name: str) -> float: ...
    def base(self, name: str) -> float: ...
    def significant(self, name: str) -> bool: ...
    def worse_by(self, name: str) -> float: ...


@dataclass(frozen=True)
class Condition:
    """
    Attributes:
        text: as it was given.
        names: quantities that it reads, each once, in order; those of A begin with ``base.``.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def holds(self, values: Values) -> bool:
        """
        Raises:
            MissingError: it names what was not measured.
            UndecidedError: it has no answer, for example because it divides by zero.
        """
        try:
            return bool(_evaluated(self._tree, values))
        except ZeroDivisionError:
            raise UndecidedError("divides by zero") from None
        except OverflowError:
            raise UndecidedError("a number is too large") from None


def called_in(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)


def _joined(node: ast.BoolOp, values: Values) -> bool:
    decisive = isinstance(node.op, ast.Or)
    undecided: UndecidedError | None = None
    found = []
    for value in node.values:  # all of them, so that whatever is missing is told
        try:
            found.append(bool(_evaluated(value, values)))
        except UndecidedError as error:
            undecided = undecided or error
    if decisive in found:
        return decisive
    if undecided is not None:
        raise undecided
    return not decisive


def _evaluated(node: ast.expr, values: Values) -> float | bool:
    if isinstance(node, ast.BoolOp):
        return _joined(node, values)
    if isinstance(node, ast.UnaryOp):
        operand = _evaluated(node.operand, values)
        if isinstance(node.op, ast.Not):
            return not operand
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Compare):
        sides = [_evaluated(side, values) for side in (node.left, *node.comparators)]
        pairs = itertools.pairwise(sides)
        return all(COMPARED[type(op)](*pair) for op, pair in zip(node.ops, pairs, strict=True))
    if isinstance(node, ast.BinOp):
        sides = [_evaluated(side, values) for side in (node.left, node.right)]
        return ARITHMETIC[type(node.op)](*sides)
    if isinstance(node, ast.Call):
        called = called_in(node)
        if called in OF_NAMES:
            assert isinstance(node.args[0], ast.Name)
            name = node.args[0].id
            return values.significant(name) if called == "significant" else values.worse_by(name)
        return NUMERIC[called](*(_evaluated(value, values) for value in node.args))
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return float(node.value)
    assert isinstance(node, ast.Name)
    if node.id.startswith(f"{BASE}."):
        return values.base(node.id.removeprefix(f"{BASE}."))
    return values.value(node.id)
