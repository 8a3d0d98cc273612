"""run.json: what was asked, on which machine, and what each stage did and cost."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.pipeline.files import write_json
from llm_export.pipeline.versions import machine, package_versions

FORMAT = 1


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@dataclass
class StageRecord:
    """``facts`` are what the stage itself notes."""

    name: str
    state: str = "running"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


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
            "stages": [asdict(s) for s in self.stages],
            **self._fixed,
        }

    def write(self) -> None:
        write_json(self.path, self.as_dict())
