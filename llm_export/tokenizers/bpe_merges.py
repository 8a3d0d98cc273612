"""BPE merges from the scores of SentencePiece pieces."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping


def merges_from_scores(
    scores: Mapping[str, float], runs: Collection[str] = ()
) -> list[tuple[str, str]]:
    """The merges in the order in which SentencePiece applies them.

    SentencePiece first joins the neighbours that form the piece with the best score. Among equal
    scores it takes the leftmost, so a piece grows to the right (all of Llama's runs of spaces have
    the same score). Merge ranks give the same result if a longer left part comes before a shorter
    one.

    Args:
        scores: piece -> score, for the pieces that merges produce and use.
        runs: user-defined runs of spaces. SentencePiece matches them first, longest
            first, so their merges precede all others.
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
