"""What an engine for chat templates gives: the texts of conversations, or why it refuses them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NOW = datetime.datetime(2026, 3, 5, 14, 7, 9)
"""The time that engines tell templates: a month whose name differs between languages, UTC."""
SECONDS = 10.0
"""Of wall time, for all that an engine renders at once; templates of published models take less
than one."""
MAX_TEXT = 1_000_000
"""Characters of one rendering."""


@dataclass(frozen=True)
class Rendering:
    """Attributes:
    text: None: the engine refuses the conversation.
    refusal: why, in one line.
    """

    text: str | None
    refusal: str = ""


@dataclass(frozen=True)
class Missing:
    """Why an engine cannot run here, and what changes that."""

    reason: str
    fix: str


class TemplateEngine(Protocol):
    """An engine that renders chat templates in apps.

    Attributes:
        title: as people know it.
        used_by: which apps and libraries render with it.
    """

    title: str
    used_by: str

    def missing(self) -> Missing | None:
        """What it lacks on this machine; None if it runs. It is asked without a network."""
        ...

    def version(self) -> str:
        """Of the engine that runs here."""
        ...

    def render(
        self, sources: Sequence[str], cases: Sequence[Mapping[str, Any]]
    ) -> list[list[Rendering]]:
        """Each case by each template: a list for each template, with an entry for each case.

        Templates are from strangers: an engine bounds their time, memory and output, gives them no
        files, and makes a refusal of whatever fails.

        Args:
            sources: Jinja.
            cases: plain JSON values of the template's variables.
        """
        ...


def one_line(text: str) -> str:
    """The beginning of a message."""
    return " ".join(text.split())[:200]
