"""What a stage is, and what the runner gives it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord


@dataclass
class RunContext:
    """The services of a run: where to write, what to note, how to show progress."""

    bundle: Path
    reporter: Reporter
    record: StageRecord
    provenance: dict[str, Any]
    """choices, overrides and the stage records so far, for the files of the bundle."""

    def note(self, **facts: Any) -> None:
        """Put facts into run.json under the current stage."""
        self.record.facts.update(facts)

    def progress(self, done: int, total: int) -> None:
        self.reporter.step(done, total)


@dataclass(frozen=True)
class Stage:
    """A name and "module:function" of ``function(artifact, recipe, ctx) -> artifact``."""

    name: str
    target: str

    def load(self) -> Callable[..., Any]:
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


STAGES = (
    Stage("load", "llm_export.stages.load:load"),
    Stage("transform", "llm_export.stages.transform:transform"),
    Stage("train", "llm_export.stages.train:train"),
    Stage("quantize", "llm_export.stages.quantize:quantize"),
    Stage("export", "llm_export.stages.export:export"),
    Stage("lower", "llm_export.stages.lower:lower"),
    Stage("package", "llm_export.stages.package:package"),
    Stage("verify", "llm_export.stages.verify:verify"),
    Stage("benchmark", "llm_export.stages.benchmark:benchmark"),
    Stage("report", "llm_export.stages.report:report"),
)


def check_chain(functions: list[Callable[..., Any]], first: type) -> None:
    """Each stage must take what the one before returns.

    Raises:
        TypeError: the chain does not fit, which is a mistake in this program.
    """
    given: Any = first
    for function in functions:
        hints = get_type_hints(function)
        wanted = hints.get("artifact")
        if wanted is not given:
            raise TypeError(f"{function.__module__} takes {wanted}, but is given {given}")
        given = hints["return"]
