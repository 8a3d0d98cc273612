"""What a stage is, and what the runner gives it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import RunRecord, StageRecord


@dataclass
class RunContext:
    """The services of a run: where to write, what to note, how to show progress.

    Attributes:
        record: of the stage.
        run: of all stages so far; None where a stage runs alone.
    """

    bundle: Path
    reporter: Reporter
    record: StageRecord
    run: RunRecord | None = None

    def note(self, **facts: object) -> None:
        """Put facts into run.json under the current stage."""
        self.record.facts.update(facts)

    def progress(self, done: int, total: int) -> None:
        self.reporter.step(done, total)


@dataclass(frozen=True)
class Stage:
    """A name and "module:function" of ``function(artifact, recipe, ctx) -> artifact``.

    Attributes:
        reads: what shapes the outcome: parts of the recipe, and facts of ``keys.FACTS`` with an @.
        checks: parts that are read only to refuse a recipe early. A stage that reads them refuses
            it all the same, so that nothing is lost where an outcome is taken from the cache.
        codec: "module:attribute" of how the outcome is kept; empty if it is not.
        not_kept: why it is not.
    """

    name: str
    target: str
    reads: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    codec: str = ""
    not_kept: str = ""

    def load(self) -> Callable[..., Any]:
        return _named(self.target)

    def load_codec(self) -> Any:
        return _named(self.codec) if self.codec else None


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
