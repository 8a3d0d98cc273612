"""run.json: what was asked, on which machine, and what each stage did and cost."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.files import write_json
from llm_export.versions import machine, package_versions

FORMAT = 1


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@dataclass
class StageRecord:
    """``facts`` are what the stage itself notes.

    Attributes:
        seconds, cpu_seconds, peak_bytes: of the run that did the work, also if this one reused it.
        made: when it was done.
        reused: whether this run took it from the cache.
        cache: reused, kept, or why not.
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


class RunRecord:
    """Kept in memory and written after every change of state."""

    def __init__(
        self, path: Path, recipe: Recipe, choices: dict[str, str | None], overrides: list[str]
    ) -> None:
        self.path = path
        self.state = "running"
        self.error: str | None = None
        self.started = utc_now()
        self.stages: list[StageRecord] = []
        self.requested = {"choices": choices, "overrides": overrides}
        self.prediction: dict[str, Any] | None = None
        """What the run was expected to cost, and what it did."""
        self.damaged: list[str] = []
        """Of the cache, what was found damaged and is made anew."""
        self._fixed = {
            "choices": choices,
            "overrides": overrides,
            "recipe": asdict(recipe),
            "versions": package_versions(),
            "machine": machine(),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self._fixed["recipe"]["name"],  # type: ignore[index]
            "state": self.state,
            "error": self.error,
            "started": self.started,
            "written": utc_now(),
            "reused": [s.name for s in self.stages if s.reused],
            "damaged_in_cache": self.damaged,
            "prediction": self.prediction,
            "stages": [asdict(s) for s in self.stages],
            **self._fixed,
        }

    def write(self) -> None:
        write_json(self.path, self.as_dict())
