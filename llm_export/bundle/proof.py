"""The verification results stored in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.bundle.arm_proof import ArmProof
from llm_export.bundle.measures import Measure
from llm_export.bundle.verdict import Verdict
from llm_export.json_data import OPTIONAL
from llm_export.metrics.comparison import ComparisonResult


@dataclass(frozen=True)
class Comparisons:
    """
    Attributes:
        lowering: the program against the eager model as exported.
        quality: the program against the float32 model.
        floor: the eager model as exported against itself, its inputs perturbed.
        chunking: of a recurrent program, the same text fed in other ways; see
            ``stages.verification.chunking``.
        restored: of a program that gives out its state, a text gone on with after going back; see
            ``stages.verification.restoring``.
    """

    lowering: ComparisonResult
    quality: ComparisonResult
    floor: ComparisonResult | None = field(default=None, metadata=OPTIONAL)
    chunking: ComparisonResult | None = field(default=None, metadata=OPTIONAL)
    restored: ComparisonResult | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class SourceComparison:
    """The checkpoint as it was read, against another library's reading of the same files.

    Attributes:
        library: name and version.
        error: largest difference of a logit, relative to the largest logit; None: not compared.
        positions: of the text whose logits were compared.
        texts: texts with equal token ids.
        chats: conversations that render alike.
        skipped: part, or all -> why it was not compared.
    """

    library: str
    error: float | None = None
    positions: int = 0
    texts: int = 0
    chats: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if "all" in self.skipped:
            return f"not compared with {self.library}: {self.skipped['all']}"
        within = f" within {self.error:.1g}" if self.error else ""
        counts = (
            (self.positions, f"logits of {self.positions} positions{within}"),
            (self.texts, f"token ids of {self.texts} texts"),
            (self.chats, f"{self.chats} conversations"),
        )
        same = ", ".join(text for count, text in counts if count)
        missing = "; ".join(f"{part} not compared: {why}" for part, why in self.skipped.items())
        return f"{self.library} reads the same: {same}" + (f"; {missing}" if missing else "")


@dataclass(frozen=True)
class Proof:
    """
    Attributes:
        verdict: what the comparisons say in a word; None if nothing was compared.
        arm: what kernels for Arm computed, under emulation; None: the recipe did not ask.
        measures: of a task that has its own.
        verified: whether the program was run and passed verification; ``reason`` says why not.
    """

    verdict: Verdict | None = field(default=None, kw_only=True, metadata=OPTIONAL)
    verified: bool
    reason: str | None = field(default=None, metadata=OPTIONAL)
    positions: int | None = field(default=None, metadata=OPTIONAL)
    comparisons: Comparisons | None = field(default=None, metadata=OPTIONAL)
    source: SourceComparison | None = field(default=None, metadata=OPTIONAL)
    arm: ArmProof | None = field(default=None, metadata=OPTIONAL)
    measures: tuple[Measure, ...] | None = field(default=None, metadata=OPTIONAL)
