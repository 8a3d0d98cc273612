"""A template that all engines render alike, if rules find one that Jinja2 cannot tell apart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_export.template_engines.base import Rendering
from llm_export.template_engines.compare import EngineRow, compare_engines
from llm_export.template_engines.conversations import Case, cases
from llm_export.template_engines.jinja2 import ENGINE as JINJA2
from llm_export.template_engines.rewriting import RULES
from llm_export.template_engines.rewriting.base import Rule

_LONGEST, _SLOWEST = 64_000, 2.0
"""Characters, and seconds of all conversations, of a template that is rewritten. Those of published
models take a tenth; rules try a template many times."""


@dataclass(frozen=True)
class Portable:
    """Attributes:
    rules: names of the rules that changed the template.
    """

    source: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Examined:
    """
    Attributes:
        app: the template for apps: rewritten, or the original.
        rows: of each engine, results of the original and of ``app``.
    """

    app: Portable
    rows: tuple[EngineRow, ...]


def examine(source: str, special_tokens: Mapping[str, str]) -> Examined | None:
    """Rewrite a template for other engines, and try both there.

    Args:
        source: Jinja.
        special_tokens: name (bos_token, ...) -> text.

    Returns:
        None if Jinja2 refuses the template or each conversation.
    """
    conversations = cases(special_tokens)
    start = time.thread_time()
    expected = reference(source, conversations)
    if all(one.text is None for one in expected):
        return None
    found = Portable(source, ())
    if len(source) < _LONGEST and time.thread_time() - start < _SLOWEST:
        found = rewritten(source, special_tokens, conversations, expected)
    rows = compare_engines([source, found.source], conversations, expected)
    if any(map(_worse, rows)):
        found = _without_harm(source, special_tokens, found, conversations, expected)
        rows = compare_engines([source, found.source], conversations, expected)
    return Examined(found, tuple(rows))


def _worse(row: EngineRow) -> bool:
    return any(one.same < row.results[0].same for one in row.results[1:])


def _without_harm(
    source: str,
    special_tokens: Mapping[str, str],
    found: Portable,
    conversations: Sequence[Case],
    expected: Sequence[Rendering],
) -> Portable:
    """The template without the first rule whose absence leaves no engine worse than the original;
    else the original."""
    rules = [rule for rule in RULES if rule.name in found.rules]
    fewer = [
        _applied(source, special_tokens, [one for one in rules if one is not left_out])
        for left_out in rules
    ]
    for candidate in fewer:
        if is_same(candidate.source, conversations, expected) and not any(
            map(_worse, compare_engines([source, candidate.source], conversations, expected))
        ):
            return candidate
    return Portable(source, ())


def compare_templates(
    sources: Sequence[str], special_tokens: Mapping[str, str]
) -> list[EngineRow] | None:
    """Rows of each engine for templates, the first of which is the original; None if Jinja2
    refuses that, or each conversation."""
    conversations = cases(special_tokens)
    expected = reference(sources[0], conversations)
    if all(one.text is None for one in expected):
        return None
    return compare_engines(sources, conversations, expected)


def reference(source: str, conversations: Sequence[Case]) -> list[Rendering]:
    """What Jinja2 renders."""
    return JINJA2.render([source], [case.given for case in conversations])[0]


def rewritten(
    source: str,
    special_tokens: Mapping[str, str],
    conversations: Sequence[Case],
    expected: Sequence[Rendering],
) -> Portable:
    """The template after all rules that Jinja2 does not notice: it must render each conversation as
    before, and refuse those that it refused."""
    found = _applied(source, special_tokens, RULES)
    if is_same(found.source, conversations, expected):
        return found
    used = [rule for rule in RULES if rule.name in found.rules]
    for left_out in used:
        found = _applied(source, special_tokens, [rule for rule in used if rule is not left_out])
        if is_same(found.source, conversations, expected):
            return found
    kept: list[Rule] = []
    for rule in used:
        tried = _applied(source, special_tokens, [*kept, rule])
        if is_same(tried.source, conversations, expected):
            kept.append(rule)
    return _applied(source, special_tokens, kept)


def is_same(source: str, conversations: Sequence[Case], expected: Sequence[Rendering]) -> bool:
    """Whether Jinja2 renders and refuses what is expected."""
    return all(
        JINJA2.render([source], [case.given])[0][0].text == one.text
        for case, one in zip(conversations, expected, strict=True)
    )


def _applied(source: str, special_tokens: Mapping[str, str], rules: Sequence[Rule]) -> Portable:
    names = []
    for rule in rules:
        changed = rule.apply(source, special_tokens)
        if changed != source:
            source = changed
            names.append(rule.name)
    return Portable(source, tuple(names))
