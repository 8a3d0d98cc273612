"""BPE merges from the scores of SentencePiece pieces."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping


def merges_from_scores(
    scores: Mapping[str, float], runs: Collection[str] = ()
) -> list[tuple[str, str]]:
    """The merges in the order in which SentencePiece applies them.

    The best piece that two neighbours make comes first. Of equal scores SentencePiece takes
    the leftmost neighbours, so that a piece grows to the right (Llama's runs of spaces all
    have one score); ranks say the same if a longer left part goes before a shorter one.

    Args:
        scores: piece -> score, of the pieces that merging makes and uses.
        runs: user-defined runs of spaces. They are taken before all else, the longest
            first: so do merges that go before all others.
    """
    with_runs = {*scores, *runs}
    ranked = []
    for piece, score in [*scores.items(), *((run, math.inf) for run in runs)]:
        parts: Collection[str] = with_runs if score == math.inf else scores
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in parts and right in parts:
                ranked.append((-score, -len(left), -len(right), left, right))
    return [(left, right) for *_, left, right in sorted(ranked)]
