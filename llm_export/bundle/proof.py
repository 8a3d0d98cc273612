"""The proof that a bundle carries: what was compared, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL


@dataclass(frozen=True)
class ComparisonResult:
    """Next-token distributions of a program and a reference.

    Attributes:
        mean_kl, p99_kl: of reference || program, in nats.
        top1_agreement: share of positions with the same likeliest token.
        perplexity, reference_perplexity: of a token.
    """

    positions: int
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    max_logit_diff: float
    perplexity: float
    reference_perplexity: float


@dataclass(frozen=True)
class Comparisons:
    """
    Attributes:
        lowering: the program against the eager model as exported.
        quality: the program against the float32 model.
        floor: the eager model as exported against itself, its inputs perturbed.
    """

    lowering: ComparisonResult
    quality: ComparisonResult
    floor: ComparisonResult | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Proof:
    """Whether the program was run and found right; ``reason`` says why not."""

    verified: bool
    reason: str | None = field(default=None, metadata=OPTIONAL)
    positions: int | None = field(default=None, metadata=OPTIONAL)
    comparisons: Comparisons | None = field(default=None, metadata=OPTIONAL)
