"""How fast artifacts are beside each other: speeds, and their ratios to the first of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_export.errors import LlmExportError
from llm_export.metrics.ratio import paired_ratio
from llm_export.runtimes.artifact import Artifact, require_whole
from llm_export.runtimes.kept import KeptTurns
from llm_export.runtimes.turns import Progress, Request, Turns, take_turns
from runtime_py.benchmark.plan import Case, cases, numbers, wanted
from runtime_py.benchmark.spread import spread
from runtime_py.bundle import Bundle
from runtime_py.conditions import OtherLoad, processor, usable_processors
from runtime_py.manifest import is_endless

SCHEMA_VERSION = 1
"""Of speeds.schema.json."""
FIGURES = ("prefill_tokens_per_second", "decode_tokens_per_second")


def measure_speeds(
    artifacts: Sequence[Artifact],
    *,
    prompt_length: int | Sequence[int] | None = None,
    decode_length: int | Sequence[int] | None = None,
    depth: int | Sequence[int] | None = None,
    threads: int | Sequence[int] | None = None,
    rounds: int = 5,
    warmup: int | None = None,
    repetitions: int = 2,
    max_seconds: float | None = None,
    keep: str | Path | None = None,
    progress: Progress = lambda what: None,
    finished: Progress = lambda what: None,
) -> dict[str, Any]:
    """Measure each artifact once a round, in turns, and compare it with the first that runs.

    Args:
        prompt_length, decode_length, depth, warmup: as of ``runtime_py.benchmark.measure``.
        threads: None: the processors that this process may use.
        repetitions: of each combination in a turn; their median counts.
        max_seconds: begin no further round after this time.
        keep: a file of turns (``KeptTurns``): those in it are not measured again.
        progress, finished: called when a turn begins and ends.

    Raises:
        LlmExportError: none of them runs, or a program is cut off.
        RecipeError: ``keep`` is another file.
        BundleRuntimeError: an argument is wrong, or a combination that was asked for does not fit
            the context of a bundle.
    """
    asked = wanted(prompt_length, decode_length, depth, threads)
    numbers("rounds", rounds, least=1)
    numbers("repetitions", repetitions, least=1)
    numbers("warmup", warmup, least=0)
    require_whole(artifacts)
    plan, notes = cases(asked, _context(artifacts))
    counts = asked.threads or (usable_processors(),)
    until = math.inf if max_seconds is None else time.perf_counter() + max_seconds
    kept = KeptTurns(keep)
    with OtherLoad() as load:
        groups = [
            (count, take_turns(
                artifacts, Request(tuple(plan), count, warmup, repetitions), rounds=rounds,
                load=load, kept=kept, until=until, progress=progress, finished=finished,
            ))
            for count in counts
        ]  # fmt: skip
    if not any(one.found for _, turns in groups for one in turns):
        reasons = "; ".join(f"{t.artifact.label}: {t.skipped}" for t in groups[0][1])
        fixes = "; ".join(dict.fromkeys(t.fix for t in groups[0][1] if t.fix))
        raise LlmExportError(f"none of them runs here: {reasons}", fix=fixes or None)
    machine = processor()
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": machine,
        "conditions": load.conditions(machine, max(counts), kept.others),
        "rounds": max(len(one.found) for _, turns in groups for one in turns),
        "repetitions": repetitions,
        "artifacts": [_described(at, groups, plan) for at in range(len(artifacts))],
        "notes": [*notes, *_differences(groups, plan)],
    }  # fmt: skip


def _context(artifacts: Sequence[Artifact]) -> int | None:
    """The shortest context of the bundles; None if there is no limit."""
    facts = [Bundle.open(a.path).manifest["program"] for a in artifacts if a.runtime == "bundle"]
    limits = [f["context_length"] for f in facts if not is_endless(f)]
    return min(limits, default=None)


Groups = Sequence[tuple[int, Sequence[Turns]]]


def _differences(groups: Groups, plan: Sequence[Case]) -> list[str]:
    """A line for each artifact whose speeds of a prompt at a depth are less exact."""
    if not any(case.depth for case in plan):
        return []
    return [
        f"{one.artifact.label}: a prompt after other tokens is the difference of two times, with "
        f"and without it, as {one.artifact.runtime} cannot be stopped between them"
        for one in groups[0][1]
        if one.found and one.found[0].get("differences")
    ]


def _described(at: int, groups: Groups, plan: Sequence[Case]) -> dict[str, Any]:
    artifact = groups[0][1][at].artifact
    mine = [(threads, turns, turns[at]) for threads, turns in groups]
    ran = [one for _, _, one in mine if one.found]
    failed = next((one for _, _, one in mine if one.skipped), None)
    starts = [found["start_seconds"] for one in ran for found in one.found]
    return {
        "label": artifact.label, "runtime": artifact.runtime, "path": str(artifact.path),
        "python": artifact.python, "bytes": artifact.bytes,
        "skipped": failed and failed.skipped, "install": (failed and failed.fix) or None,
        "start_seconds": spread(starts) if starts else None,
        "peak_memory_bytes": max((f["peak_memory_bytes"] for o in ran for f in o.found),
                                 default=None),
        "tests": [
            _test(case, threads, _first(turns), one, number)
            for threads, turns, one in mine if one.found
            for number, case in enumerate(plan)
        ],
    }  # fmt: skip


def _first(turns: Sequence[Turns]) -> Turns:
    """The one that the others are compared with."""
    return next(one for one in turns if one.found)


def _test(case: Case, threads: int, base: Turns, one: Turns, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {**case._asdict(), "threads": threads}
    for figure in FIGURES:
        mine, theirs = ([f["tests"][number][figure] for f in each.found] for each in (one, base))
        measured = [value for value in mine if value]
        found[figure] = spread(measured) if measured else None
        pairs = [(a, b) for a, b in zip(mine, theirs, strict=False) if a and b]
        found[f"{figure.partition('_')[0]}_ratio"] = None if one is base or not pairs else _ratio(
            *zip(*pairs, strict=True)
        )  # fmt: skip
    return found


def _ratio(measured: Sequence[float], base: Sequence[float]) -> dict[str, Any]:
    ratio = paired_ratio(measured, base)
    interval = ratio.interval
    return {
        "value": ratio.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "significant": ratio.significant,
    }
