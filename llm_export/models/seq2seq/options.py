"""Options of the task ``translate``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TranslateOptions:
    """How texts are given to a model that turns one into another.

    Attributes:
        prefixes: name -> text before an input, which says what to make of it.
    """

    prefixes: dict[str, str] = field(default_factory=dict)
