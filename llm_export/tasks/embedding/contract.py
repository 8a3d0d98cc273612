"""The contract of the task embed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_export.bundle.measures import Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.models.programs.task_model import TaskModel
from llm_export.pipeline.artifacts import Source
from llm_export.pipeline.summary import Answer
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.scoring import Form, Scorer


class EmbedContract:
    """See ``tasks.contract.TaskContract``."""

    def write_files(self, folder: Path, source: Source, model: TaskModel, options: Any) -> None:
        """Nothing: the tokenizer is all that texts need."""

    def compare(self, subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
        from llm_export.tasks.embedding.verify import compare

        return compare(subject, progress)

    def speed(self, bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
        from llm_export.tasks.embedding.speed import speed

        return speed(bundle, settings)

    def scores(self) -> tuple[tuple[Form, ...], Scorer]:
        """Retrieval, or rank correlation of pairs."""
        from llm_export.tasks.embedding.scores import FORMS, score

        return FORMS, score

    def samples(self, bundle: Path, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
        from llm_export.tasks.embedding.samples import samples

        return samples(bundle)


CONTRACT = EmbedContract()
