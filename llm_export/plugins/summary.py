"""One-line summaries of registry entries, read from the source without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Sequence


def summary_of(target: str) -> str:
    """First sentence of the docstring of a "module:attribute": of the function or class itself, of
    the text below an assignment, else of the module; empty if there is none."""
    module, _, attribute = target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        tree = ast.parse(spec.loader.get_source(module)) if spec and spec.loader else None  # type: ignore[attr-defined]
    except Exception:  # a parent package runs its own code
        return ""
    if tree is None:
        return ""
    text = _of_attribute(tree.body, attribute) or ast.get_docstring(tree) or ""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".")


def _of_attribute(body: Sequence[ast.stmt], attribute: str) -> str | None:
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return ast.get_docstring(node)
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(t, ast.Name) and t.id == attribute for t in targets):
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                return str(after.value.value)
            return None
    return None
