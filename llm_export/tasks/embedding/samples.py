"""What a program finds for a few queries, for the report."""

from __future__ import annotations

from pathlib import Path

from llm_export.pipeline.summary import Answer
from llm_export.tasks.embedding.texts import DOCUMENT, QUERY, text_set
from runtime_py import Embedder

_QUERIES = 5
_FOUND = 3


def samples(bundle: Path) -> tuple[Answer, ...]:
    """For each of five queries the nearest of the shipped sentences, with their similarity."""
    texts = text_set()
    queries = texts.queries[:: len(texts.queries) // _QUERIES][:_QUERIES]
    with Embedder.load(bundle, verify_hashes=False) as embedder:
        passages = embedder.embed(texts.passages, prompt=DOCUMENT)
        found = embedder.similarity(embedder.embed(queries, prompt=QUERY), passages)
    answers = []
    for query, row in zip(queries, found, strict=True):
        values, places = row.topk(_FOUND)
        pairs = zip(values.tolist(), places.tolist(), strict=True)
        lines = [f"{value:.3f}  {texts.passages[place]}" for value, place in pairs]
        answers.append(Answer(query, "\n".join(lines)))
    return tuple(answers)
