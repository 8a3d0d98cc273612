"""What the stages need of a task whose models are no decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from llm_export.bundle.measures import LOWERING, QUALITY, SPEED, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.metrics.scale import LEVELS

if TYPE_CHECKING:
    from llm_export.models.programs.task_model import TaskModel
    from llm_export.pipeline.artifacts import Source
    from llm_export.pipeline.summary import Answer
    from llm_export.resolve.recipe import ResolvedRecipe
    from llm_export.tasks.scoring import Form, Scorer

__all__ = ["LOWERING", "QUALITY", "SPEED", "Comparison", "LengthsContract", "Measure",
           "ScoresContract", "Subject", "TaskContract", "word_of"]  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is compared.

    Attributes:
        bundle: with its manifest; None where the program cannot run on this machine: then the
            exported model is compared with the float32 model alone.
        exported: the eager model as it was exported: quantized, with its attention.
        reference: builds the float32 model from the checkpoint, without transforms.
        options: of the task.
    """

    bundle: Path | None
    exported: TaskModel
    reference: Callable[[], TaskModel]
    source: Source
    resolved: ResolvedRecipe
    options: Any


@dataclass(frozen=True)
class Comparison:
    """
    Attributes:
        measures: of the lowering (program against the exported model) and of the quality
            (against the float32 model), with the task's own limits.
        word, meaning: of ``metrics.scale``, what the quality is.
        count: of what was compared, in words: 500 sentences.
        tokenizer: what the tokenizer was compared with, or why not.
    """

    measures: tuple[Measure, ...]
    word: str
    meaning: str
    count: str
    tokenizer: str = ""


class TaskContract(Protocol):
    """How programs of a task are packaged, proven, measured and tried.

    A contract may also be a ``LengthsContract`` and a ``ScoresContract``.
    """

    def write_files(self, folder: Path, source: Source, model: TaskModel, options: Any) -> None:
        """Write the files of preprocessing, under the names of ``bundle.roles``."""

    def compare(self, subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
        """Compare the program with the exported model, and both with the float32 model."""
        ...

    def speed(self, bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
        """Medians of repeated runs."""
        ...

    def samples(self, bundle: Path, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
        """What the program makes of a few inputs, for the report."""
        ...


@runtime_checkable
class LengthsContract(Protocol):
    """A contract whose ``speed`` also reads lengths.

    Attributes:
        speed_settings: which of ``prompt_length`` and ``decode_length``.
    """

    speed_settings: tuple[str, ...]


@runtime_checkable
class ScoresContract(Protocol):
    """A contract of a task whose answers are scored by a user's examples."""

    def scores(self) -> tuple[tuple[Form, ...], Scorer]:
        """The forms of examples with what is right, and what scores them."""
        ...


def word_of(value: float, bounds: Sequence[float], *, higher_is_better: bool) -> tuple[str, str]:
    """(word, meaning) of the scale.

    Args:
        bounds: the worst value of each level but the last, best level first.
    """
    for level, bound in zip(LEVELS[:-1], bounds, strict=True):
        if (value >= bound) if higher_is_better else (value <= bound):
            return level.word, level.meaning
    return LEVELS[-1].word, LEVELS[-1].meaning
