"""The summary of a run for the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_export.bundle.proof import Proof
from llm_export.pipeline.speed import Speed


@dataclass(frozen=True)
class Answer:
    """Answer of the exported model to a question of the recipe."""

    question: str
    answer: str


@dataclass(frozen=True)
class RunSummary:
    """
    Attributes:
        name: of the recipe.
        bytes: of the program's file.
        adapters: name -> bytes of the file.
        speed: None: it was not measured.
    """

    name: str
    bytes: int
    adapters: Mapping[str, int]
    proof: Proof
    speed: Speed | None
    answers: tuple[Answer, ...]
