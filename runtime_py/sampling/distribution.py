"""The distribution from which a token is drawn.

Sorting a whole vocabulary costs as much as a step of a small model. The sets of top-p and typical
sampling are small nearly always, so a few of the first candidates are sorted, and more only if
they do not reach the probability that was asked for: the result is that of the whole sort.
"""

from __future__ import annotations

import torch
from torch import Tensor

from runtime_py.sampling.settings import Sampling

_FEW = (128, 2048)


def distribution(scores: Tensor, s: Sampling) -> tuple[Tensor, Tensor | None]:
    """scores [V] -> (probabilities [K], not normalized, their ids [K]); None: ids are 0 to V - 1.

    Args:
        s: its temperature is above 0.
    """
    scores, ids = scores / float(s.temperature), None
    if 0 < s.top_k < scores.numel():
        scores, ids = torch.topk(scores, s.top_k)
    probabilities = torch.softmax(scores, dim=-1)
    if s.top_p < 1:
        probabilities, ids = _kept(probabilities, -probabilities, s.top_p, ids)
    if s.min_p > 0:
        floor = s.min_p * probabilities.max()
        probabilities = torch.where(probabilities < floor, 0.0, probabilities)
    if s.typical_p < 1:
        probabilities = probabilities / probabilities.sum()
        information = -probabilities.log()
        expected = (probabilities * information).nansum()  # 0 log 0 is 0
        far = (information - expected).abs().nan_to_num(torch.inf)
        probabilities, ids = _kept(probabilities, far, s.typical_p, ids)
    return probabilities, ids


def _kept(
    probabilities: Tensor, cost: Tensor, mass: float, ids: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The candidates of lowest cost whose probabilities reach ``mass``: the one that reaches it is
    the last. As float32, ``mass`` may be 0: the first one stays."""
    count = probabilities.numel()
    for few in (*_FEW, count):
        size = min(few, count)
        if size < count:
            order = torch.topk(cost, size, largest=False).indices
        else:
            order = torch.sort(cost).indices
        ordered = probabilities[order]
        total = ordered.cumsum(0)
        if size == count or total[-1] >= mass:
            break
    ordered[1:][(total - ordered)[1:] >= mass] = 0
    return ordered, order if ids is None else ids[order]


def draw(probabilities: Tensor, generator: torch.Generator) -> int:
    """An index of probabilities [K] >= 0, not normalized. By the inverse of their sums in float64:
    torch.multinomial draws a random number for each of them."""
    total = probabilities.to(torch.float64).cumsum(0)
    at = torch.rand(1, generator=generator, dtype=torch.float64) * total[-1]
    found = int(torch.searchsorted(total, at, right=True))
    # Rounding may give the end itself, behind which candidates of no probability may lie.
    last = int(probabilities.numel() - 1 - (probabilities.flip(0) > 0).to(torch.uint8).argmax())
    return min(found, last)
