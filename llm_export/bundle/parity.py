"""parity.json: what verification compared."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.bundle.arm_proof import ArmProof
from llm_export.bundle.measures import Measure
from llm_export.bundle.proof import Comparisons
from llm_export.bundle.verdict import Verdict
from llm_export.json_data import OPTIONAL
from llm_export.tokenizers.compare import TokenizerComparison


@dataclass(frozen=True)
class Parity:
    """Written also where the program is found wrong.

    Attributes:
        tokenizer: None: the recipe does not compare it.
        measures: what is compared besides logits of text.
    """

    positions: int
    comparisons: Comparisons
    tokenizer: TokenizerComparison | None
    verdict: Verdict
    arm: ArmProof | None = field(default=None, metadata=OPTIONAL)
    measures: tuple[Measure, ...] | None = field(default=None, metadata=OPTIONAL)
