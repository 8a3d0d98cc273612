"""What template engines make of a bundle's chat template, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_export.template_engines import ENGINES

_MOST = 3


def engine_rows(chat: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """(engine, how many conversations are the same, which are not).

    Args:
        chat: the manifest's entry.
    """
    engines = (chat or {}).get("engines") or {}
    return [
        (name, f"{one['same']} of {one['of']}", _names(one["failed"]))
        for name, one in engines.items()
    ]


def rewriting_rules(chat: Mapping[str, Any] | None) -> list[str]:
    return list((chat or {}).get("rewritten") or ())


def untried(chat: Mapping[str, Any] | None) -> list[str]:
    """Engines that were not tried when the bundle was made."""
    engines = (chat or {}).get("engines") or {}
    return [name for name in ENGINES.in_order() if name not in engines]


def markdown(chat: Mapping[str, Any] | None) -> str:
    """The section of report.md; '' if no engine was tried."""
    rows = engine_rows(chat)
    if not rows:
        return ""
    lines = ["| engine | same text as Jinja2 | not the same |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if rules := rewriting_rules(chat):
        said = "`tokenizer_config.json` has a form of the template that Jinja2 renders alike"
        lines += ["", f"{said}: {', '.join(rules)}."]
    if names := untried(chat):
        lines += [
            "",
            f"Not tried here: {', '.join(names)}. `llm-export verify BUNDLE --templates` says why.",
        ]
    return "\n".join(lines)


def _names(failed: Sequence[str]) -> str:
    if not failed:
        return "–"
    rest = f" and {len(failed) - _MOST} more" if len(failed) > _MOST else ""
    return ", ".join(failed[:_MOST]) + rest
