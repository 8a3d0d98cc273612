"""The methods of a program: one of any length, or several of fixed lengths."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD, PREFILL = "forward", "prefill"
"""The method that any runner calls, and the one for a chunk of prompt beside it."""


@dataclass(frozen=True)
class Methods:
    """Attributes:
    dynamic: whether ``forward`` takes any number of tokens up to its length.
    lengths: method -> tokens of a step.
    """

    dynamic: bool
    lengths: dict[str, int]

    @property
    def prefill_length(self) -> int:
        """Most tokens of a step."""
        return max(self.lengths.values())
