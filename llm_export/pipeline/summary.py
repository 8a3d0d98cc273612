"""The summary of a run for the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.bundle.manifest import ConsumerEntry
from llm_export.bundle.measures import Measure
from llm_export.bundle.proof import Proof
from llm_export.evaluation.results import Evaluation
from llm_export.json_data import OPTIONAL
from llm_export.pipeline.speed import Speed

TRY_IT = 'llm-export chat {bundle} --message "Hello"'


@dataclass(frozen=True)
class Answer:
    """Answer of the exported model to a question of the recipe, decoded greedily.

    Attributes:
        reference: the float32 model's answer to the same prompt; None: ``no_reference`` says why.
        parts_at: how many tokens the two answers begin with in common; None: they are the same,
            or there is no reference.
        tokens: of the answer, with the one that ends it; None: there is no answer.
        system: the system message before the question, where the chat template needs one.
        problem: why there is no answer.
        no_reference: why the float32 model was not asked, or how it failed.
    """

    question: str
    answer: str
    reference: str | None = None
    parts_at: int | None = None
    tokens: int | None = None
    system: str | None = field(default=None, metadata=OPTIONAL)
    problem: str | None = field(default=None, metadata=OPTIONAL)
    no_reference: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class RunSummary:
    """
    Attributes:
        name: of the recipe.
        bytes: of the program's file.
        adapters: name -> bytes of the file.
        speed: None: it was not measured.
        consumers: NAME@VERSION -> whether it can load the bundle.
        measures: speed of a task's program that is no decoder.
        try_it: a command, with {bundle} for the bundle.
    """

    name: str
    bytes: int
    adapters: Mapping[str, int]
    proof: Proof
    speed: Speed | None
    answers: tuple[Answer, ...]
    evaluation: Evaluation | None = None
    consumers: Mapping[str, ConsumerEntry] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    try_it: str = TRY_IT
