"""The answers to the recipe's questions, beside the float model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.report.page.evidence import Evidence
from llm_export.tokenizers.common_start import common_start


@dataclass(frozen=True)
class Shown:
    """An answer and the float model's, each as what both begin with and its own rest.

    Attributes:
        reference: None: the bundle has none; ``alone`` says why.
        parted: where they part, in words; '' without a reference.
    """

    question: str
    system: str
    problem: str
    common: str
    answer: str
    reference: str | None
    parted: str
    alone: str


def answers(found: Evidence) -> list[Shown]:
    listed = found.answers or found.facts("report").get("answers") or []
    return [_shown(each) for each in listed if isinstance(each, Mapping)]


def _shown(each: Mapping[str, Any]) -> Shown:
    said, reference = str(each.get("answer") or ""), each.get("reference")
    common = "" if reference is None else _common(said, str(reference))
    parted = "" if reference is None else _parted(said, str(reference), each.get("parts_at"))
    return Shown(
        str(each.get("question") or ""),
        str(each.get("system") or ""),
        str(each.get("problem") or ""),
        common,
        said[len(common) :],
        None if reference is None else str(reference)[len(common) :],
        parted,
        str(each.get("no_reference") or ""),
    )


def _parted(said: str, reference: str, at: Any) -> str:
    """Where two answers part, in tokens where that is known."""
    if said == reference:
        return "the same"
    return "another answer" if not at else f"the same for {at} token{'s' * (at != 1)}"


def _common(first: str, second: str) -> str:
    """What both begin with, up to the end of a word."""
    shared = first[: common_start(first, second)]
    if shared in (first, second):
        return shared
    return shared[: max(shared.rfind(" "), shared.rfind("\n")) + 1]
