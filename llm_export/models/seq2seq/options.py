"""Options of the task ``translate``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TranslateOptions:
    """How texts are given to a model that turns one into another.

    Attributes:
        prefixes: name -> text before an input, which says what to make of it.
        languages: name -> id of the tokens that name a language, of the checkpoint's tokenizer.
        source_language: of the texts; None: that of the tokenizer's settings.
        target_language: of the answers; None: that of the checkpoint's generation_config.json.
    """

    prefixes: dict[str, str] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    source_language: str | None = None
    target_language: str | None = None
