"""Compare two next-token distributions, position by position."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from llm_export.bundle.proof import ComparisonResult
from llm_export.config.schema import Thresholds, VerifyConfig
from llm_export.errors import InputError


def window_count(settings: VerifyConfig) -> int:
    """Windows that give at least the positions asked for: those after the prefill count."""
    return math.ceil(settings.positions / (settings.window - settings.prefill + 1))


def windows(ids: Sequence[int], length: int, count: int) -> Iterator[list[int]]:
    """``count`` windows of ``length`` + 1 ids, side by side; the last id is only a target.

    Raises:
        InputError: the text is too short.
    """
    needed = count * length + 1
    if len(ids) < needed:
        raise InputError(
            f"the text has {len(ids)} tokens; {count} windows of {length} need {needed}",
            where="verify.positions",
            fix="fewer verify.positions, or a longer verify.text",
        )
    for index in range(count):
        yield list(ids[index * length : (index + 1) * length + 1])


_VALUES = 1 << 20
"""Logits that are compared at once, in float64."""


@dataclass
class Comparison:
    """Accumulates over windows; logits are [P, V], targets [P]."""

    positions: int = 0
    max_logit_diff: float = 0.0
    _kl: list[Tensor] = field(default_factory=list)
    _agree: int = 0
    _nll: float = 0.0
    _nll_reference: float = 0.0

    def add(self, program: Tensor, reference: Tensor, targets: Tensor) -> None:
        # In float64 and several times over: a few positions at once.
        step = max(1, _VALUES // program.shape[-1])
        for some in zip(*(t.split(step) for t in (program, reference, targets)), strict=True):
            self._add(*some)

    def _add(self, program: Tensor, reference: Tensor, targets: Tensor) -> None:
        p, r = program.double(), reference.double()
        log_p, log_r = torch.log_softmax(p, -1), torch.log_softmax(r, -1)
        self._kl.append((log_r.exp() * (log_r - log_p)).sum(-1))
        self._agree += int((p.argmax(-1) == r.argmax(-1)).sum())
        self.max_logit_diff = max(self.max_logit_diff, float((p - r).abs().max()))
        index = targets[:, None]
        self._nll -= float(log_p.gather(1, index).sum())
        self._nll_reference -= float(log_r.gather(1, index).sum())
        self.positions += len(targets)

    @property
    def kl(self) -> Tensor:
        return torch.cat(self._kl)

    def result(self) -> ComparisonResult:
        kl = self.kl
        return ComparisonResult(
            positions=self.positions,
            mean_kl=float(kl.mean()),
            p99_kl=float(torch.quantile(kl, 0.99)),
            top1_agreement=self._agree / self.positions,
            max_logit_diff=self.max_logit_diff,
            perplexity=float(torch.tensor(self._nll / self.positions).exp()),
            reference_perplexity=float(torch.tensor(self._nll_reference / self.positions).exp()),
        )


@dataclass(frozen=True)
class _Cap:
    max_mean_kl: float
    min_top1: float


WIDEST = _Cap(max_mean_kl=0.25, min_top1=0.6)


def widened(limits: Thresholds, floor: ComparisonResult | None, factor: float) -> Thresholds:
    """Limits that a program within ``factor`` times the noise floor still keeps.

    Never wider than WIDEST: a model so noisy that this does not do cannot be proven.
    """
    if floor is None:
        return limits
    kl, top1, diff = limits.max_mean_kl, limits.min_top1, limits.max_logit_diff
    widest_kl = min(factor * floor.mean_kl, WIDEST.max_mean_kl)
    widest_top1 = max(1 - factor * (1 - floor.top1_agreement), WIDEST.min_top1)
    return Thresholds(
        max_mean_kl=None if kl is None else max(kl, widest_kl),
        min_top1=None if top1 is None else min(top1, widest_top1),
        max_logit_diff=None if diff is None else max(diff, factor * floor.max_logit_diff),
    )


def violations(result: ComparisonResult, limits: Thresholds, name: str) -> list[str]:
    """What is past its threshold, in words."""
    found = []
    kl, top1, diff = result.mean_kl, result.top1_agreement, result.max_logit_diff
    # Written so that NaN, which compares false with everything, is a violation.
    if limits.max_mean_kl is not None and not kl <= limits.max_mean_kl:
        found.append(f"{name}: mean KL {kl:.3g} exceeds {limits.max_mean_kl:g}")
    if limits.min_top1 is not None and not top1 >= limits.min_top1:
        found.append(f"{name}: top-1 agreement {top1:.4f} is below {limits.min_top1:g}")
    if limits.max_logit_diff is not None and not diff <= limits.max_logit_diff:
        found.append(f"{name}: logits differ by {diff:.3g}, more than {limits.max_logit_diff:g}")
    if not all(v == v for v in (kl, top1, diff)):
        found.append(f"{name}: the logits are not numbers")
    return found
