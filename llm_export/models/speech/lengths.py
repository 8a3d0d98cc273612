"""Which lengths of audio an encoder takes, and how many outputs it has for them."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.models.speech.model import RATE


@dataclass(frozen=True)
class Lengths:
    """An encoder takes ``step * n`` samples and gives ``n + shift`` outputs for them; one of a
    single length takes ``step`` samples and gives ``1 + shift`` outputs.

    Attributes:
        width: channels of an output.
        fewest: the smallest n.
        single: whether n is 1.
    """

    step: int
    shift: int
    width: int
    fewest: int = 1
    single: bool = False

    @property
    def least_seconds(self) -> float:
        return self.fewest * self.step / RATE

    def most(self, seconds: float) -> int:
        """The largest n of audio of so many seconds."""
        return 1 if self.single else max(self.fewest, int(seconds * RATE) // self.step)

    def outputs(self, seconds: float) -> int:
        """Outputs for the longest audio of so many seconds."""
        return self.most(seconds) + self.shift
