"""The methods of a program: one of dynamic length, or several of fixed lengths."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD, PREFILL = "forward", "prefill"
"""The method that every runner calls, and the additional one for prompt chunks."""


@dataclass(frozen=True)
class Methods:
    """Attributes:
    dynamic: whether ``forward`` takes any number of tokens up to its length.
    lengths: method -> tokens per step.
    """

    dynamic: bool
    lengths: dict[str, int]

    @property
    def prefill_length(self) -> int:
        """Maximum number of tokens per step."""
        return max(self.lengths.values())
