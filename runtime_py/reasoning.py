"""How models mark the reasoning that goes before an answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

EARLY = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the "
    "thinking directly now.\n"
)
"""What Qwen's documentation has a model say when its thinking budget is spent."""


@dataclass(frozen=True)
class ReasoningFormat:
    """
    Attributes:
        begin, end: what surrounds the reasoning.
        dropped: texts that surround the answer itself, and are no part of it.
    """

    name: str
    begin: str
    end: str
    dropped: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that may be special tokens."""
        return (self.begin, self.end, *self.dropped)


FORMATS = (
    ReasoningFormat("think_answer", "<think>", "</think>", ("<answer>", "</answer>")),
    ReasoningFormat("think", "<think>", "</think>"),
    ReasoningFormat("magistral", "[THINK]", "[/THINK]"),
    ReasoningFormat("gemma", "<|channel>thought", "<channel|>"),
    ReasoningFormat("command", "<|START_THINKING|>", "<|END_THINKING|>"),
    ReasoningFormat("seed", "<seed:think>", "</seed:think>"),
)
"""The first of them that a template has all markers of is its."""


def reasoning_format(source: str, tokens: Collection[str]) -> ReasoningFormat | None:
    """That of a chat template, or else of a tokenizer.

    Args:
        source: Jinja source.
        tokens: texts of the tokenizer's added tokens.
    """
    for each in FORMATS:
        if each.end in source and all(d in source for d in each.dropped):
            return each
    return next((f for f in FORMATS if {f.begin, f.end} <= {*tokens} and not f.dropped), None)
