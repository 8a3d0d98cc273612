"""Conditions over the quantities of two bundles, such as ``decode.median < 0.95 * base``.

Python's grammar, of which only numbers, quantities, arithmetic, comparisons, ``and``, ``or``,
``not`` and the functions below are taken. The text is parsed, checked and walked here; nothing is
evaluated by Python.

- ``decode.median``: of B; ``base.decode.median``: of A; ``decode``: short for its median
- ``base``: of A, the quantity beside it in the same comparison
- ``5%``: 0.05
- ``significant(NAME)``: whether B differs from A by more than chance
- ``worse_by(NAME)``: the share by which B is worse than A, negative if it is better
- ``min(...)``, ``max(...)``, ``abs(...)``
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from llm_export.compare.condition import (
    ARITHMETIC,
    BASE,
    COMPARED,
    NUMERIC,
    OF_NAMES,
    Condition,
    called_in,
)
from llm_export.compare.figure import entry
from llm_export.errors import RecipeError, did_you_mean, excerpt

LONGEST = 2000
"""Characters of an expression."""
_PERCENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*%(?!\s*(?!and\b|or\b)[\w.(])")
LISTING = "llm-export compare --quantities lists the names"


@dataclass(frozen=True)
class Names:
    """The names that an expression may use.

    Attributes:
        known: all quantities.
        short: short name -> name.
        directed: those of which more, or less, is better.
    """

    known: Collection[str]
    short: dict[str, str]
    directed: Collection[str]


def parse(text: str, names: Names) -> Condition:
    """
    Raises:
        RecipeError: it is no condition, or names what there is not.
    """
    if len(text) > LONGEST:
        raise _wrong(
            text, f"the condition has more than {LONGEST} characters", "several conditions"
        )
    try:
        tree = ast.parse(_PERCENT.sub(r"(\1/100)", text.strip()), mode="eval").body
        # What Python's parser takes is as deep as its text is long.
        checked = _Checked(text, names)
        resolved = checked.condition(tree)
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _wrong(text, f"no condition: {why}", "like 'decode.median < 0.95 * base'") from None
    except (RecursionError, MemoryError):
        raise _wrong(text, "the condition is nested too deeply", "several conditions") from None
    return Condition(text, tuple(dict.fromkeys(checked.read)), resolved)


class _Checked:
    """Checks a tree and replaces what names a quantity by a single name."""

    def __init__(self, text: str, names: Names) -> None:
        self._text, self._names = text, names
        self._beside: list[str] | None = None
        self.read: list[str] = []

    def condition(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [self.condition(value) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, self.condition(node.operand))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Call) and called_in(node) == "significant":
            return self._of_name(node, "significant")
        raise self._refused(node, "is no condition", "a comparison, like 'decode.median < 20'")

    def _comparison(self, node: ast.Compare) -> ast.expr:
        sides = [node.left, *node.comparators]
        for op in node.ops:
            if type(op) not in COMPARED:
                raise self._refused(node, "is no comparison of numbers", "<, <=, >, >=, == or !=")
        self._beside = [name for side in sides for name in self._quantities(side)]
        made = [self.number(side) for side in sides]
        self._beside = None
        return ast.Compare(made[0], node.ops, made[1:])

    def number(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise self._refused(node, "is no number", "a number or a quantity")
            return node
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            return ast.BinOp(self.number(node.left), node.op, self.number(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return ast.UnaryOp(node.op, self.number(node.operand))
        if isinstance(node, ast.Call):
            called = called_in(node)
            if called == "worse_by":
                return self._of_name(node, called)
            if called in NUMERIC:
                return self._function(node, called)
            raise self._refused(
                node, "is no function that gives a number",
                did_you_mean(called, [*NUMERIC, *OF_NAMES]),
            )  # fmt: skip
        name = _dotted(node)
        if name is None:
            raise self._refused(node, "is not allowed here", "numbers, quantities and + - * /")
        return self._quantity(name)

    def _function(self, node: ast.Call, called: str) -> ast.expr:
        count = len(node.args)
        if node.keywords or not count or (called == "abs" and count > 1) or (
            called != "abs" and count < 2
        ):  # fmt: skip
            takes = "one number" if called == "abs" else "two numbers or more"
            raise self._refused(node, f"is wrong: {called} takes {takes}", f"{called}(...)")
        return ast.Call(node.func, [self.number(value) for value in node.args], [])

    def _of_name(self, node: ast.Call, called: str) -> ast.expr:
        name = _dotted(node.args[0]) if len(node.args) == 1 and not node.keywords else None
        if name is None or name == BASE or name.startswith(f"{BASE}."):
            raise self._refused(
                node, f"is wrong: {called} takes the name of a quantity", f"{called}(decode.median)"
            )
        known = self._known(name)
        if called == "worse_by" and known not in self._names.directed:
            raise self._refused(
                node, f"has no answer: neither more nor less of {known} is better",
                f"compare it: {known} > base",
            )  # fmt: skip
        self.read += [known, f"{BASE}.{known}"]
        return ast.Call(node.func, [ast.Name(known)], [])

    def _quantity(self, name: str) -> ast.expr:
        if name == BASE:
            beside = list(dict.fromkeys(self._beside or ()))
            if len(beside) != 1:
                raise _wrong(
                    self._text,
                    "'base' alone stands for the one quantity beside it, and here are "
                    f"{len(beside)}",
                    "base.NAME, like base.decode.median",
                )
            name = f"{BASE}.{beside[0]}"
        prefix = f"{BASE}." if name.startswith(f"{BASE}.") else ""
        known = prefix + self._known(name.removeprefix(prefix))
        self.read.append(known)
        return ast.Name(known)

    def _quantities(self, node: ast.expr) -> Iterator[str]:
        """Names of B in a part of a comparison, those within calls too."""
        name = _dotted(node)
        if name is not None:
            if name != BASE and not name.startswith(f"{BASE}."):
                yield self._known(name)
            return
        inside = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        for child in inside:
            if isinstance(child, ast.expr):
                yield from self._quantities(child)

    def _known(self, name: str) -> str:
        found = self._names.short.get(name, name)
        if found not in self._names.known:
            raise _wrong(
                self._text, f"there is no quantity '{excerpt(name)}'",
                did_you_mean(name, [*self._names.known, *self._names.short], LISTING),
            )  # fmt: skip
        return found

    def _refused(self, node: ast.expr, why: str, fix: str) -> RecipeError:
        return _wrong(self._text, f"'{excerpt(ast.unparse(node))}' {why}", fix)


def _wrong(text: str, what: str, fix: str) -> RecipeError:
    return RecipeError(what, where=f"--fail-if '{excerpt(text)}'", fix=fix)


def _dotted(node: ast.AST) -> str | None:
    """The name of a quantity as ``figure.entry`` writes it; None if it is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        before, key = _dotted(node.value), node.slice.value
        return entry(before, key) if before is not None and isinstance(key, str) else None
    return None
