"""Retrieval, or similarity of pairs, of a bundle that embeds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.bundle.measures import QUALITY, Measure
from llm_export.errors import InputError
from llm_export.tasks.scoring import Example, Form, Progress, texts_of

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py import Embedder

FORMS = (Form(("query", "document")), Form(("text", "other", "score")))
_NEAR = 10


def score(bundle: Path, examples: Sequence[Example], progress: Progress) -> tuple[Measure, ...]:
    """Of queries, each with its document: how often it is the nearest of all documents of the
    file, and the mean reciprocal rank among the nearest ten. Of pairs with a score: Spearman's
    rank correlation of their cosine with it, as in the STS benchmarks.

    Raises:
        InputError: a text is none, or a score no number.
    """
    from runtime_py import Embedder

    with Embedder.load(bundle) as embedder:
        found = (_retrieval if "query" in examples[0] else _pairs)(embedder, examples)
    progress(len(examples), len(examples))
    return found


def _retrieval(embedder: Embedder, examples: Sequence[Example]) -> tuple[Measure, ...]:
    queries = texts_of(examples, "query")
    right = texts_of(examples, "document")
    documents = list(dict.fromkeys(right))
    asked = embedder.embed(queries, prompt="query")
    near = embedder.similarity(asked, embedder.embed(documents, prompt="document"))
    rank = ranks_of(near, _places(documents, right))
    reciprocal = (1.0 / rank) * (rank <= _NEAR)
    of = f"of {len(documents)} documents"
    return (
        Measure("recall_1", f"right document first, {of}", float((rank == 1).float().mean()),
                QUALITY, higher_is_better=True),
        Measure("recall_10", f"right document among {_NEAR}, {of}",
                float((rank <= _NEAR).float().mean()), QUALITY, higher_is_better=True),
        Measure("mrr_10", f"mean reciprocal rank among {_NEAR}", float(reciprocal.mean()), QUALITY,
                higher_is_better=True),
    )  # fmt: skip


def ranks_of(near: Tensor, right: Tensor) -> Tensor:
    """From 1, of the right column [Q] of each row of similarities [Q, D]. Columns that are as
    similar, or no number, stand before it: equal embeddings find nothing."""
    own = near.gather(1, right[:, None])
    return near.shape[1] - (near < own).sum(1)


def _places(documents: Sequence[str], right: Sequence[str]) -> Tensor:
    import torch

    places = {text: place for place, text in enumerate(documents)}
    return torch.tensor([places[text] for text in right])


def _pairs(embedder: Embedder, examples: Sequence[Example]) -> tuple[Measure, ...]:
    import torch

    scores = [each["score"] for each in examples]
    for place, value in enumerate(scores, 1):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not abs(value) <= sys.float_info.max:
            raise InputError(f"example {place}: score must be a number, not {value!r:.80}")
    if len(set(scores)) < 2:
        raise InputError("all scores are the same: there is no order to compare with")
    first = embedder.embed(texts_of(examples, "text"))
    other = embedder.embed(texts_of(examples, "other"))
    cosines = torch.nn.functional.cosine_similarity(first, other)
    value = spearman(cosines, torch.tensor(scores, dtype=torch.float64))
    return (
        Measure("spearman", "rank correlation of the cosine with the scores", value, QUALITY,
                higher_is_better=True),
    )  # fmt: skip


def spearman(first: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation; equal values have the mean of their ranks. 0 if all values of
    one are equal: they tell nothing of the other's order.
    """
    import torch

    if bool((first == first[0]).all() or (other == other[0]).all()):
        return 0.0
    return float(torch.corrcoef(torch.stack([_ranks(first), _ranks(other)]))[0, 1])


def _ranks(values: Tensor) -> Tensor:
    import torch

    _, group, counts = torch.unique(values, sorted=True, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts.double() - 1) / 2)[group]
