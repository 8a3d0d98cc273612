"""The definition of a stage, and the context that the runner passes to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import RunRecord, StageRecord


@dataclass
class RunContext:
    """Services of a run for its stages: output folder, run record and progress.

    Attributes:
        record: of the stage.
        run: of all stages so far; None where a stage runs alone.
    """

    bundle: Path
    reporter: Reporter
    record: StageRecord
    run: RunRecord | None = None

    def note(self, **facts: object) -> None:
        """Add metadata to the current stage in run.json."""
        self.record.facts.update(facts)

    def progress(self, done: int, total: int) -> None:
        self.reporter.step(done, total)


@dataclass(frozen=True)
class Stage:
    """A name and "module:function" of ``function(artifact, recipe, ctx) -> artifact``.

    Attributes:
        reads: inputs of the result: recipe keys, and entries of ``keys.FACTS`` with an @.
        checks: recipe keys that are read only to refuse a recipe early. The stage that reads them
            refuses it too, so no check is lost when this stage comes from the cache.
        codec: "module:attribute" of the codec of the result; empty if it is not cached.
        not_kept: why the result is not cached.
        fallback: "module:function" of the same form, for a stage that only adds evidence to a
            bundle that is already proven: if the stage fails, the run goes on with what this
            function makes without it. Empty: the run fails.
        enabled: recipe key without which the stage passes its artifact on; empty for none. It is
            then neither numbered nor shown.
    """

    name: str
    target: str
    reads: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    codec: str = ""
    not_kept: str = ""
    fallback: str = ""
    enabled: str = ""

    def is_skipped(self, recipe: Recipe) -> bool:
        """Whether it has nothing to do for this recipe."""
        return bool(self.enabled) and not attrgetter(self.enabled)(recipe)

    def load(self) -> Callable[..., Any]:
        return _named(self.target)

    def load_fallback(self) -> Callable[..., Any]:
        return _named(self.fallback)

    def load_codec(self) -> Any:
        return _named(self.codec) if self.codec else None


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
