"""Compare what engines make of templates with what Jinja2 makes of the original."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from llm_export.errors import MissingDependencyError
from llm_export.template_engines import ENGINES
from llm_export.template_engines.base import Missing, Rendering, TemplateEngine, one_line
from llm_export.template_engines.conversations import Case

REFERENCE = "jinja2"
_AROUND = 24


@dataclass(frozen=True)
class Difference:
    """Attributes:
    conversation: its name.
    found: the first place where the texts part, or why the engine refuses it.
    """

    conversation: str
    found: str


@dataclass(frozen=True)
class EngineResult:
    """Of one template in one engine.

    Attributes:
        same: conversations with the same text as Jinja2's.
        of: conversations that Jinja2 renders.
    """

    same: int
    of: int
    failed: tuple[Difference, ...]


@dataclass(frozen=True)
class EngineRow:
    """Attributes:
    missing: why the engine was not tried; then there are no results.
    results: for each template.
    """

    name: str
    title: str
    version: str
    missing: Missing | None
    results: tuple[EngineResult, ...]


def compare_engines(
    sources: Sequence[str], cases: Sequence[Case], expected: Sequence[Rendering]
) -> list[EngineRow]:
    """A row for each engine.

    Args:
        sources: templates that should render alike.
        expected: what Jinja2 renders of each case; a case that it refuses does not count.
    """
    counted = [
        (case, text.text)
        for case, text in zip(cases, expected, strict=True)
        if text.text is not None and not (case.unless and case.unless in text.text)
    ]
    # Most of them wait for a process.
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda name: _row(name, sources, counted), ENGINES.in_order()))


def versions_here() -> dict[str, str | None]:
    """Engine -> its version; None if it does not run here."""
    return {name: _here(name).version or None for name in ENGINES.in_order()}


def _here(name: str) -> EngineRow:
    """Whether an engine runs here, without results."""
    try:
        engine = ENGINES.get(name)
        missing = engine.missing()
        version = engine.version() if missing is None else ""
        return EngineRow(name, engine.title, version, missing, ())
    except MissingDependencyError as error:
        return EngineRow(name, name, "", Missing(error.what, error.fix or ""), ())
    except Exception as error:
        return _broken(name, error)


def _row(name: str, sources: Sequence[str], counted: list[tuple[Case, str]]) -> EngineRow:
    row = _here(name)
    if row.missing is not None:
        return row
    try:
        return replace(row, results=_results(name, ENGINES.get(name), sources, counted))
    except Exception as error:
        return _broken(name, error)


def _broken(name: str, error: Exception) -> EngineRow:
    """Of a plugin's engine."""
    why = Missing(one_line(f"it fails: {type(error).__name__}: {error}"), "repair its plugin")
    return EngineRow(name, name, "", why, ())


def _results(
    name: str, engine: TemplateEngine, sources: Sequence[str], counted: list[tuple[Case, str]]
) -> tuple[EngineResult, ...]:
    given = [case.given if name == REFERENCE else case.passed for case, _ in counted]
    made = engine.render(sources, given)
    return tuple(_result(texts, counted) for texts in made)


def _result(texts: Sequence[Rendering], counted: list[tuple[Case, str]]) -> EngineResult:
    failed = [
        Difference(case.name, difference(expected, found))
        for found, (case, expected) in zip(texts, counted, strict=True)
        if found.text != expected
    ]
    return EngineResult(len(counted) - len(failed), len(counted), tuple(failed))


def difference(expected: str, found: Rendering) -> str:
    """Where a text parts from the expected one, with a few characters around it."""
    if found.text is None:
        return f"refused: {found.refusal}"
    at = next(
        (i for i, (a, b) in enumerate(zip(expected, found.text, strict=False)) if a != b),
        min(len(expected), len(found.text)),
    )
    start = max(0, at - _AROUND // 2)
    lead = "…" if start else ""
    return f"{lead}{_shown(expected, start)} became {lead}{_shown(found.text, start)}"


def _shown(text: str, start: int) -> str:
    piece = text[start : start + _AROUND * 2]
    return repr(piece) + ("…" if start + _AROUND * 2 < len(text) else "")
