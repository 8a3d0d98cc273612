"""The methods of a program: one of dynamic length or several of fixed lengths, and what a model
has besides them."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD, PREFILL, VERIFY = "forward", "prefill", "verify"
"""The method that every runner of a language model calls, the additional one for prompt chunks of
fixed length, and one of dynamic length that returns the logits of all its tokens."""


@dataclass(frozen=True)
class Methods:
    """Attributes:
    dynamic: whether methods take any number of tokens up to their lengths.
    lengths: method that steps through a text -> tokens per step.
    main: the one of them that every runner calls.
    further: methods that do something else, such as a vision encoder.
    """

    dynamic: bool
    lengths: dict[str, int]
    main: str = FORWARD
    further: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All methods that compute."""
        return (*self.lengths, *self.further)

    @property
    def prefill_length(self) -> int:
        """Maximum number of tokens per step."""
        return max(self.lengths.values())

    @property
    def steps(self) -> dict[str, int]:
        """The methods that answers are generated with: all but ``verify``."""
        return {name: length for name, length in self.lengths.items() if name != VERIFY}
