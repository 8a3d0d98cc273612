"""The task, a family of one model, and how its programs are proven."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.models.contract import ModelMetadata
from llm_export.models.definitions import PROGRAM_DEFINITIONS
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.programs.family import TaskFamily
from llm_export.models.programs.task_model import Method, TaskModel
from llm_export.models.task import Task
from llm_export.pipeline.artifacts import Source
from llm_export.pipeline.summary import Answer
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.tasks.contract import (
    LOWERING,
    QUALITY,
    SPEED,
    Comparison,
    Measure,
    Subject,
    word_of,
)
from llm_export.tasks.timing import repeated, seconds_of
from runtime_py.method_program import MethodProgram

IDS = torch.arange(12).reshape(2, 6)


@dataclass(frozen=True)
class Options:
    """``scale``: of the scores."""

    scale: float = 1.0


@dataclass(frozen=True)
class Config:
    vocab_size: int
    hidden_size: int
    labels: int


class BagOfWords(TaskModel):
    def __init__(self, config: Config, context_length: int) -> None:
        super().__init__()
        self.metadata = ModelMetadata(config.vocab_size, 1, False)
        self.context_length = context_length
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.labels = nn.Linear(config.hidden_size, config.labels, bias=False)

    def token_tables(self) -> Sequence[nn.Module]:
        return [self.words]

    def settings(self, options: Any) -> dict[str, Any]:
        return {"labels": self.labels.out_features}

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        length = torch.export.Dim("tokens", min=1, max=self.context_length)
        shapes = {1: length} if dynamic else None
        return (Method("forward", Scores(self, options), (IDS,), (shapes,)),)


class Scores(nn.Module):
    def __init__(self, model: BagOfWords, options: Options) -> None:
        super().__init__()
        self.model, self.scale = model, options.scale

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.model.labels(self.model.words(ids).mean(1)) * self.scale
        return scores


def from_hf(config: Mapping[str, Any]) -> Config:
    c = ConfigReader("bag_of_words", config)
    made = Config(c.count("vocab_size"), c.count("hidden_size"), c.count("num_labels"))
    c.finish()
    return made


class Contract:
    def write_files(self, folder: Path, source: Source, model: TaskModel, options: Any) -> None:
        pass

    def compare(self, subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
        def scores(model: TaskModel) -> Tensor:
            method = model.methods(subject.options, dynamic=True)[0]
            found: Tensor = method.module(IDS)
            return found

        assert subject.bundle is not None
        made = MethodProgram(subject.bundle / "model.pte").call("forward", [IDS])[0]
        lowering = float((made - scores(subject.exported)).abs().max())
        quality = float((made - scores(subject.reference())).abs().max())
        word, meaning = word_of(quality, (1e-5, 1e-3, 0.01, 0.1, 1), higher_is_better=False)
        return Comparison(
            (Measure("score_error", "largest difference of a score", lowering, LOWERING,
                     limit=1e-4),
             Measure("score_loss", "largest loss of a score", quality, QUALITY, limit=1.0)),
            word, meaning, "2 texts",
        )  # fmt: skip

    def speed(self, bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
        program = MethodProgram(bundle / "model.pte")
        runs = repeated(seconds_of(lambda: program.call("forward", [IDS])), settings)
        median = statistics.median(runs)
        return (Measure("calls", "calls", 1 / median, SPEED, "calls/s", higher_is_better=True),)

    def samples(self, bundle: Path, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
        scores = MethodProgram(bundle / "model.pte").call("forward", [IDS])[0]
        return (Answer("two texts", f"labels {scores.argmax(1).tolist()}"),)


CONTRACT = Contract()
TASK = Task(
    name="classify",
    description="score texts by label",
    definitions=PROGRAM_DEFINITIONS,
    options="classify_task:Options",
    contract="classify_task:CONTRACT",
    measures=("score_error", "score_loss"),
    try_it="classify {bundle} TEXT",
)
FAMILY = TaskFamily(
    name="bag_of_words",
    task="classify",
    architectures=("BagOfWords",),
    from_hf=from_hf,
    build=BagOfWords,
    keys=KeyMap([("words.weight", "words.weight"), ("labels.weight", "labels.weight")]),
)
