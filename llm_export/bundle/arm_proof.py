"""What kernels for Arm computed of a program, under emulation, as a bundle records it."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL
from llm_export.metrics.comparison import ComparisonResult


@dataclass(frozen=True)
class ArmLevel:
    """A level of processor features, at which the libraries choose kernels of its own.

    Attributes:
        cpu: of the emulator.
        good: whether the limits of ``verify.lowering`` are kept; None if nothing was computed, or
            there is none of them.
        reason: why the program failed there, or was not computed.
        comparison: with the eager model as exported.
    """

    name: str
    cpu: str | None = field(default=None, metadata=OPTIONAL)
    good: bool | None = field(default=None, metadata=OPTIONAL)
    reason: str | None = field(default=None, metadata=OPTIONAL)
    comparison: ComparisonResult | None = field(default=None, metadata=OPTIONAL)

    def __str__(self) -> str:
        if self.comparison is None:
            word = "not computed" if self.good is None else "fails"
            return f"{self.name} {word}: {self.reason}"
        count = self.comparison.positions
        figures = f"mean KL {self.comparison.value('mean_kl'):.2g} over {count} position"
        word = {True: "good", False: "wrong", None: "not judged"}[self.good]
        return f"{self.name} {word} ({figures}{'s' * (count > 1)})"


@dataclass(frozen=True)
class ArmProof:
    """
    Attributes:
        reason: why nothing was computed; ``levels`` is then empty.
        emulator: name and version.
        reference_operators: those that the libraries lack, computed by plain loops of the runner.
        seconds: that emulation took. They say nothing of the speed of a device.
        cut: why fewer texts were computed than usual.
    """

    levels: tuple[ArmLevel, ...] = ()
    reason: str | None = field(default=None, metadata=OPTIONAL)
    emulator: str | None = field(default=None, metadata=OPTIONAL)
    reference_operators: tuple[str, ...] = ()
    seconds: float | None = field(default=None, metadata=OPTIONAL)
    cut: str | None = field(default=None, metadata=OPTIONAL)

    @property
    def sentence(self) -> str:
        """For a report."""
        text = str(self)
        return f"{text[0].upper()}{text[1:]}."

    def __str__(self) -> str:
        if not self.levels:
            return f"not computed by Arm kernels: {self.reason}"
        parts = [
            f"computed by Arm kernels under emulation ({self.emulator}, {self.seconds or 0:.0f} s):"
            f" {', '.join(map(str, self.levels))}"
        ]
        if self.reference_operators:
            names = ", ".join(self.reference_operators)
            parts.append(f"{names} by reference kernels, which the libraries for Arm lack")
        return "; ".join([*parts, *([self.cut] if self.cut else [])])
