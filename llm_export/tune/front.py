"""What a tune found: the front as a table, as JSON, and as recipes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import Recipe
from llm_export.files import write_json, write_text
from llm_export.json_data import to_json
from llm_export.pipeline.record import utc_now
from llm_export.sweep.measure import Measure
from llm_export.sweep.state import Row
from llm_export.tune.measures import Requirement
from llm_export.tune.table import document, screen

BEST, FOLDER, TABLE, DATA = "best.yaml", "front", "tune.md", "tune.json"


@dataclass(frozen=True)
class Front:
    """The result of a tune.

    Attributes:
        rows: everything that was tried.
        front: of them, those that keep every requirement and that no other one is better than in
            all objectives, best first in the first objective.
        best: of the front, the nearest to the best values of all objectives; None: nothing keeps
            every requirement.
        ended: why it ended.
    """

    folder: Path
    rows: list[Row]
    front: list[Row]
    best: Row | None
    objectives: tuple[Measure, ...]
    requirements: tuple[Requirement, ...]
    ended: str

    @property
    def recipe(self) -> Path | None:
        """The file of the best recipe."""
        return self.folder / BEST if self.best else None

    @property
    def exit_code(self) -> int:
        """1 if nothing keeps every requirement."""
        return 0 if self.best else 1

    @property
    def screen(self) -> str:
        """For a terminal."""
        return screen(self.rows, self.front, self.best, self.objectives, self.requirements,
                      self.ended)  # fmt: skip

    def as_dict(self) -> dict[str, object]:
        names = {row.name for row in self.front}
        return {
            "written": utc_now(), "ended": self.ended, "folder": str(self.folder),
            "objectives": [
                {"name": m.name, "direction": "max" if m.maximize else "min",
                 "unit": m.value.unit} for m in self.objectives
            ],
            "requirements": [r.text for r in self.requirements],
            "best": self.best.name if self.best else None,
            "trials": [
                {**to_json(row), "front": row.name in names,
                 "objectives": {m.name: m.get(row.results) if row.results else None
                                for m in self.objectives}}
                for row in self.rows
            ],
        }  # fmt: skip


def written(
    folder: Path,
    rows: list[Row],
    front: list[Row],
    objectives: Sequence[Measure],
    requirements: Sequence[Requirement],
    ended: str,
    recipe_of: Callable[[Row], Recipe],
) -> Front:
    """Write tune.md, tune.json, best.yaml and a recipe for each row of the front."""
    front = sorted(front, key=lambda row: _ranks(row, objectives))
    best = nearest(front, objectives)
    found = Front(folder, rows, front, best, tuple(objectives), tuple(requirements), ended)
    recipes = folder / FOLDER
    shutil.rmtree(recipes, ignore_errors=True)
    (folder / BEST).unlink(missing_ok=True)
    recipes.mkdir()
    for row in front:
        text = _header(row, objectives) + recipe_yaml(recipe_of(row))
        write_text(recipes / f"{row.name}.yaml", text)
        if row is best:
            write_text(folder / BEST, text)
    write_text(folder / TABLE, document(folder.name, found.rows, front, best, objectives,
                                        requirements, ended))  # fmt: skip
    write_json(folder / DATA, found.as_dict())
    return found


def _header(row: Row, objectives: Sequence[Measure]) -> str:
    assert row.results is not None
    shown = [f"{m.value.full_heading} {m.value.text(m.get(row.results))}" for m in objectives]
    return f"# Measured by tune: {', '.join(shown)}\n"


def _ranks(row: Row, objectives: Sequence[Measure]) -> list[float]:
    """A number for each objective, of which the smallest is the best."""
    assert row.results is not None
    ranks = [rank for m in objectives if (rank := m.rank(row.results)) is not None]
    assert len(ranks) == len(objectives), "a front holds what was measured"
    return ranks


def nearest(front: Sequence[Row], objectives: Sequence[Measure]) -> Row | None:
    """Of a front, the row at the least distance to the best value of each objective, where each
    goes from 0 to 1 over the front (compromise programming: Zeleny, 1973)."""
    if not front:
        return None
    points = [_ranks(row, objectives) for row in front]
    ends = [(min(column), max(column)) for column in zip(*points, strict=True)]

    def distance(place: int) -> float:
        parts = zip(points[place], ends, strict=True)
        return sum(((v - low) / (high - low)) ** 2 for v, (low, high) in parts if high > low)

    return front[min(range(len(front)), key=distance)]
