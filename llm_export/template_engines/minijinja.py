"""minijinja by its Python binding, set up as apps do it"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm_export.template_engines.base import Missing, Rendering
from llm_export.template_engines.child import rendered

_CHILD = Path(__file__).with_name("minijinja_child.py")


class MiniJinja:
    """``python_methods``: whether strings and dicts have Python's methods (``pycompat``)."""

    def __init__(self, title: str, used_by: str, *, python_methods: bool) -> None:
        self.title, self.used_by = title, used_by
        self._python_methods = python_methods

    def missing(self) -> Missing | None:
        if _packages() is None:
            return Missing("minijinja is not installed", "pip install 'llm_export[templates]'")
        return None

    def version(self) -> str:
        return importlib.metadata.version("minijinja")

    def render(
        self, sources: Sequence[str], cases: Sequence[Mapping[str, Any]]
    ) -> list[list[Rendering]]:
        command = [sys.executable, "-I", "-S", str(_CHILD)]
        return rendered(
            command, sources, cases, packages=_packages(), python_methods=self._python_methods
        )


ENGINE = MiniJinja("minijinja", "mistral.rs, text-generation-inference", python_methods=True)


def _packages() -> str | None:
    """The folder that holds the package; None if it is not installed."""
    found = find_spec("minijinja")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).parent.parent)
