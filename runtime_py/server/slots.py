"""Conversations that are kept warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_py.answers import Answers
    from runtime_py.llm import LLM


class Slots:
    """
    Args:
        most: conversations.
    """

    def __init__(self, llm: LLM, most: int) -> None:
        self._llm, self._most = llm, most

    def best(self, ids: list[int]) -> Answers:
        """The one whose cache shares most with a prompt."""
        return self._llm
