"""Options of the task ``translate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.errors import RecipeError


@dataclass(frozen=True)
class TranslateOptions:
    """How texts are given to a model that turns one into another.

    Attributes:
        prefixes: name -> text before an input, which says what to make of it.
    """

    prefixes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text in self.prefixes.items():
            if not isinstance(text, str):
                raise RecipeError(
                    f"the prefix '{name}' is {text!r}, not a text",
                    where=f"model.task_options.prefixes.{name}",
                )
