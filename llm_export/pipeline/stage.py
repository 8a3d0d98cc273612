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
        return _named(self.target)  # type: ignore[no-any-return]

    def load_codec(self) -> Any:
        return _named(self.codec) if self.codec else None


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


_KEEPING = "llm_export.pipeline.keeping"
_MODELS = "llm_export.pipeline.kept_model"
_PARTS = ("checkpoint", "model", "quant", "backend", "backend.name", "@runtime")

STAGES = (
    Stage(
        "load",
        "llm_export.stages.load:load",
        reads=("checkpoint", "@checkpoint_files", "model", "runtime.context_length",
               "runtime.logits"),
        checks=("verify",),
        not_kept="the checkpoint is read as quickly as a copy of the model would be",
    ),
    Stage(
        "transform",
        "llm_export.stages.transform:transform",
        reads=(*_PARTS, "@calibration"),
        not_kept="done again with the next quantize",
    ),
    Stage(
        "train",
        "llm_export.stages.train:train",
        reads=("@training",),
        not_kept="the cache of training goes on where it stopped",
    ),
    Stage(
        "quantize",
        "llm_export.stages.quantize:quantize",
        reads=(*_PARTS, "@calibration"),
        codec=f"{_MODELS}:TRANSFORMED",
    ),
    Stage(
        "export",
        "llm_export.stages.export:export",
        reads=(*_PARTS, "@calibration"),
        codec=f"{_MODELS}:EXPORTED",
    ),
    Stage(
        "lower",
        "llm_export.stages.lower:lower",
        reads=(*_PARTS, "@edge_compared"),
        codec=f"{_KEEPING}:LOWERED",
    ),
    Stage(
        "package",
        "llm_export.stages.package:package",
        reads=(*_PARTS, "model.name"),
        codec=f"{_KEEPING}:PACKAGED",
    ),
    Stage(
        "verify",
        "llm_export.stages.verify:verify",
        reads=(*_PARTS, "verify", "@verify_text", "@training", "@runs_here",
               "@machine"),
        codec=f"{_KEEPING}:VERIFIED",
    ),
    Stage(
        "benchmark",
        "llm_export.stages.benchmark:benchmark",
        reads=("benchmark", "@runs_here", "@machine"),
        codec=f"{_KEEPING}:BENCHMARKED",
    ),
    Stage(
        "report",
        "llm_export.stages.report:report",
        reads=("@whole_recipe", "@runs_here", "@machine"),
        codec=f"{_KEEPING}:REPORTED",
    ),
)  # fmt: skip


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
