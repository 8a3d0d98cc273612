"""Jinja2 as runtime_py and transformers set it up: the reference"""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llm_export.template_engines.base import NOW, SECONDS, Missing, Rendering, one_line
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError


class Jinja2:
    title = "Jinja2"
    used_by = "runtime_py, transformers, vLLM"

    def missing(self) -> Missing | None:
        return None

    def version(self) -> str:
        return importlib.metadata.version("jinja2")

    def render(
        self, sources: Sequence[str], cases: Sequence[Mapping[str, Any]]
    ) -> list[list[Rendering]]:
        end = time.thread_time() + SECONDS
        return [_all(source, cases, end) for source in sources]


ENGINE = Jinja2()


@functools.lru_cache(maxsize=4)
def _template(source: str) -> ChatTemplate:
    return ChatTemplate(source, {}, now=lambda: NOW)


def _all(source: str, cases: Sequence[Mapping[str, Any]], end: float) -> list[Rendering]:
    try:
        template = _template(source)
    except BundleRuntimeError as error:
        return [Rendering(None, one_line(error.what))] * len(cases)
    late = Rendering(None, f"it takes more than {SECONDS:g} s")
    return [_one(template, case) if time.thread_time() < end else late for case in cases]


def _one(template: ChatTemplate, case: Mapping[str, Any]) -> Rendering:
    try:
        return Rendering(template.render(**case))
    except BundleRuntimeError as error:
        return Rendering(None, one_line(error.what))
