"""A piece of an answer, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime_py.tool_calls import ToolCall

Kind = Literal["text", "reasoning", "tool_call"]


@dataclass(frozen=True)
class Delta:
    """
    Attributes:
        text: of text and reasoning; of a call, as the model wrote it.
        call: of a tool, whole; None in the other kinds.
    """

    kind: Kind
    text: str
    call: ToolCall | None = None
