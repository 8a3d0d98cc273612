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
        after: what follows the end in an answer.
        dropped: texts that surround the answer itself, and are no part of it.
        signs: texts that a template with this format has.
        anywhere: reasoning may also follow text; else it is at the beginning alone, and the marks
            are text elsewhere.
    """

    name: str
    begin: str
    end: str
    after: str = "\n\n"
    dropped: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    anywhere: bool = False

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that may be special tokens."""
        return (self.begin, self.end, *self.dropped)


FORMATS = (
    ReasoningFormat(
        "harmony", "<|channel|>analysis<|message|>", "<|end|>",
        after="<|start|>assistant<|channel|>final<|message|>",
        dropped=("<|start|>assistant", "<|channel|>final<|message|>", "<|channel|>commentary",
                 "<|message|>", "<|end|>", "<|return|>"),
        signs=("<|channel|>", "<|message|>"), anywhere=True,
    ),
    ReasoningFormat("think_answer", "<think>", "</think>", "\n", ("<answer>", "</answer>"),
                    signs=("</think>", "<answer>")),
    ReasoningFormat("think", "<think>", "</think>", signs=("</think>",)),
    ReasoningFormat("magistral", "[THINK]", "[/THINK]", "", signs=("[/THINK]",)),
    ReasoningFormat("gemma", "<|channel>thought", "<channel|>", "", signs=("<channel|>",),
                    anywhere=True),
    ReasoningFormat("command", "<|START_THINKING|>", "<|END_THINKING|>", "",
                    signs=("<|END_THINKING|>",)),
    ReasoningFormat("seed", "<seed:think>", "</seed:think>", signs=("</seed:think>",)),
)  # fmt: skip
"""The first of them that has all its signs in a template is its."""


def reasoning_format(source: str, tokens: Collection[str]) -> ReasoningFormat | None:
    """That of a chat template, or else of a tokenizer.

    Args:
        source: Jinja source.
        tokens: texts of the tokenizer's added tokens.
    """
    found = next((f for f in FORMATS if all(sign in source for sign in f.signs)), None)
    if found is not None:
        return found
    return next((f for f in FORMATS if {f.begin, f.end} <= {*tokens}), None)
