"""The texts by which embeddings are compared: short sentences on forty subjects with a question to
each, written for this project, and sentences of Jane Austen's Persuasion (1817)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

QUERY, DOCUMENT = "query", "document"
COUNT = 500
"""Of sentences."""
_SHORTEST = 20
"""Characters of a sentence of prose; shorter ones are exclamations."""


@dataclass(frozen=True)
class TextSet:
    """Questions, and the sentences among which their answers are."""

    queries: tuple[str, ...]
    passages: tuple[str, ...]

    def prompted(self, prompts: Mapping[str, str]) -> list[str]:
        """Queries, then passages, each behind the model's prompt of its kind."""
        query, document = prompts.get(QUERY, ""), prompts.get(DOCUMENT, "")
        return [query + q for q in self.queries] + [document + p for p in self.passages]


def text_set(count: int = COUNT) -> TextSet:
    """The first ``count`` sentences, at most 500, and all queries."""
    blocks = [block.split("\n") for block in _read("embedding_texts.txt").strip().split("\n\n")]
    queries = tuple(block[0] for block in blocks)
    short = [sentence for block in blocks for sentence in block[1:]]
    return TextSet(queries, tuple([*short, *prose()][: min(count, COUNT)]))


def prose() -> list[str]:
    """Sentences of the text with which decoders are verified."""
    paragraphs = (text.replace("\n", " ") for text in _read("english.txt").split("\n\n"))
    found = [each.strip() for text in paragraphs for each in re.split(r"(?<=[.!?])\s+", text)]
    return [sentence for sentence in found if len(sentence) >= _SHORTEST]


def _read(name: str) -> str:
    return resources.files("llm_export.data").joinpath(name).read_text("utf-8")
