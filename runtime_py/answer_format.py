"""What a model writes into an answer beside its text, by its chat template."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime_py.answer_parser import AnswerParser, PlainParser, TaggedParser
from runtime_py.reasoning import ReasoningFormat
from runtime_py.tool_calls import Schemas
from runtime_py.tool_formats.base import ToolFormat


@dataclass(frozen=True)
class AnswerFormat:
    """
    Attributes:
        reasoning: None: the model writes no reasoning, or its marks are not known.
        tools: None: it calls no tools, or none are given.
        schemas: of the tools.
        opened: the prompt ends within the reasoning.
        opening: what the answer has to begin with, after reasoning.
    """

    reasoning: ReasoningFormat | None = None
    tools: ToolFormat | None = None
    schemas: Schemas = field(default_factory=dict)
    opened: bool = False
    opening: str = ""

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that may be special tokens, and must not be left out of the text."""
        return tuple(
            marker for part in (self.reasoning, self.tools) if part for marker in part.markers
        )

    def parser(self) -> AnswerParser:
        """For one answer."""
        if self.reasoning is None and self.tools is None:
            return PlainParser()
        return TaggedParser(self.reasoning, self.tools, self.schemas, self.opened)


def opened(reasoning: ReasoningFormat | None, prompt: str) -> bool:
    """Whether a prompt ends within the reasoning, as some templates have it."""
    return reasoning is not None and prompt.rstrip().endswith(reasoning.begin)
