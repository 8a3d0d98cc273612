"""Predicted and actual cost of runs that are finished, from their records.

python benchmarks/cost_records.py BUNDLE_OR_RUN_JSON... [--stages]

Predicts every record's recipe with the present cost model, for the stages that the run did itself,
and prints CPU seconds and peak memory beside the record's, with actual divided by predicted. Left
out are runs of which nothing is predicted (the generic tier), and stages taken from the cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.config.recipe_files import self_contained
from llm_export.errors import LlmExportError
from llm_export.predict.cost import features, predict
from llm_export.predict.size import sizes_of
from llm_export.resolve.recipe import ResolvedRecipe, resolve

WALL = "benchmark"
"""The stage of which wall time is predicted: it works in a separate process."""


@dataclass(frozen=True)
class Compared:
    """A stage, or all of them: predicted and actual CPU seconds and bytes resident at most."""

    name: str
    seconds: tuple[float, float]
    peak: tuple[int, int]


def recipe_of(record: dict[str, Any]) -> ResolvedRecipe:
    """The recipe of a record, as this version reads it.

    Raises:
        RecipeError: it does not compose any more.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recorded.yaml"
        body = {k: v for k, v in record["recipe"].items() if k != "out"}
        file.write_text(self_contained(body), encoding="utf-8")
        return resolve(api.compose_recipe(file).recipe)


def measured(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of the stages that the run did itself."""
    return [
        stage for stage in record["stages"]
        if stage["state"] == "done" and not stage["reused"] and stage["seconds"] >= 0.001
    ]  # fmt: skip


def seconds_of(stage: dict[str, Any]) -> float:
    return float(stage["seconds" if stage["name"] == WALL else "cpu_seconds"])


def row_of(record: dict[str, Any]) -> tuple[dict[str, float], list[dict[str, Any]]] | None:
    """Features and stage records, for a fit; None where nothing is predicted."""
    resolved = recipe_of(record)
    sizes = sizes_of(resolved)
    if sizes is None:
        return None
    return features(sizes, resolved.recipe, not resolved.obstacle_to_running()), measured(record)


def compared(record: dict[str, Any]) -> list[Compared]:
    """Of every stage, and then of all of them; empty where nothing is predicted."""
    resolved, stages = recipe_of(record), measured(record)
    found = []
    for stage in stages:
        expected = predict(resolved, [stage["name"]])
        if expected is not None:
            found.append(
                Compared(
                    stage["name"],
                    (expected.seconds, seconds_of(stage)),
                    (expected.memory, stage["peak_bytes"]),
                )
            )
    if found:
        seconds, peaks = [c.seconds for c in found], [c.peak for c in found]
        found.append(
            Compared(
                "run",
                (sum(s[0] for s in seconds), sum(s[1] for s in seconds)),
                (max(p[0] for p in peaks), max(p[1] for p in peaks)),
            )
        )
    return found


def line(title: str, found: Compared) -> str:
    expected, actual = found.seconds
    room, peak = found.peak
    return (
        f"| {title} | {expected:.1f} | {actual:.1f} | {actual / max(expected, 1e-9):.2f} |"
        f" {room / 1e6:.0f} | {peak / 1e6:.0f} | {peak / max(room, 1):.2f} |"
    )


def records(places: list[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for place in places:
        file = place / "run.json" if place.is_dir() else place
        try:
            yield file, json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SystemExit(f"{place} is no bundle, and no run.json: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", nargs="+", type=Path, metavar="BUNDLE_OR_RUN_JSON")
    parser.add_argument("--stages", action="store_true", help="a row for every stage, too")
    args = parser.parse_args()
    print("| recipe | CPU s: predicted | actual | ratio | peak, MB: predicted | actual | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for file, record in records(args.places):
        try:
            found = compared(record)
        except LlmExportError as error:
            print(f"{file}: {error}")
            continue
        chosen = [w for w in record["overrides"] if not w.startswith("out=")]
        for each in found if args.stages else found[-1:]:
            title = f"{record['name']} {' '.join(chosen)}" if each.name == "run" else each.name
            print(line(title, each))


if __name__ == "__main__":
    main()
