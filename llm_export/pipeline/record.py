"""run.json: the request, the machine, and the results and cost of each stage."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_export.bundle.lock import Provenance
from llm_export.config.schema import Recipe
from llm_export.files import write_json
from llm_export.json_data import OPTIONAL, to_json
from llm_export.versions import machine, package_versions

FORMAT = 1


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def for_people(made: str) -> str:
    """A time of ``utc_now``, as screens and reports show it."""
    return made.replace("T", " ").replace("+00:00", " UTC")


@dataclass
class StageRecord:
    """
    Attributes:
        facts: what the stage itself notes, plain data; each stage has its own keys.
        seconds, cpu_seconds, peak_bytes: of the run that did the work, also if this one reused it.
        made: when it was done.
        reused: whether this run took it from the cache.
        cache: reused, kept, or why not.
        error: why the stage failed and the run went on without its result.
        once: why its result is for this run alone and not for later ones; empty if it may be kept.
        skipped: whether the recipe gave it nothing to do.
    """

    name: str
    state: str = "running"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    made: str = ""
    reused: bool = False
    cache: str = ""
    error: str = ""
    once: str = ""
    skipped: bool = False


@dataclass(frozen=True)
class RunCost:
    """CPU seconds, and bytes: of memory at most, and of the program if it was lowered."""

    seconds: float
    memory: int
    program: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class PredictedCost:
    """Predicted and actual cost of a run.

    Attributes:
        seconds: of processor time.
        memory, disk, program: bytes.
        outcome: of the stages that this run has done itself so far.
        ratios: of the outcome to the prediction.
    """

    seconds: float
    memory: int
    disk: int
    program: int
    outcome: RunCost | None = field(default=None, metadata=OPTIONAL)
    ratios: Mapping[str, float] | None = field(default=None, metadata=OPTIONAL)


class RunRecord:
    """Kept in memory and written after every change of state.

    Attributes:
        recipe: with a value for each key.
        notes: see ``ResolvedRecipe.notes``.
        damaged: of the cache, what was found damaged and is made anew.
    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        choices: Mapping[str, str | None],
        overrides: Sequence[str],
        notes: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.state = "running"
        self.error: str | None = None
        self.started = utc_now()
        self.stages: list[StageRecord] = []
        self.prediction: PredictedCost | None = None
        self.damaged: list[str] = []
        self.recipe, self.notes = recipe, tuple(notes)
        self.provenance = Provenance(choices, overrides, package_versions(), machine())

    @property
    def reused(self) -> list[str]:
        """Names of the stages that were taken from the cache."""
        return [s.name for s in self.stages if s.reused]

    def as_dict(self) -> dict[str, object]:
        """The JSON object of run.json."""
        made = self.provenance
        return {
            "format": FORMAT,
            "name": self.recipe.name,
            "state": self.state,
            "error": self.error,
            "started": self.started,
            "written": utc_now(),
            "reused": self.reused,
            "damaged_in_cache": self.damaged,
            "prediction": None if self.prediction is None else to_json(self.prediction),
            "stages": [asdict(s) for s in self.stages],
            "choices": dict(made.choices),
            "overrides": list(made.overrides),
            "recipe": asdict(self.recipe),
            "notes": list(self.notes),
            "versions": dict(made.versions),
            "machine": to_json(made.machine),
        }

    def write(self) -> None:
        write_json(self.path, self.as_dict())
