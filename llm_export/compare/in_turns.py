"""Measure two bundles anew, in turns: each turn in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_export.compare.figure import number, part
from llm_export.compare.side import Side
from llm_export.compare.speed_figures import IN_TURNS, MAIN, MEASURED
from llm_export.errors import BundleError, LlmExportError
from llm_export.pipeline.child_errors import reason_of
from runtime_py.benchmark.plan import cases, wanted

ROUNDS = 6


def measured_in_turns(
    base: Side,
    new: Side,
    *,
    rounds: int = ROUNDS,
    threads: int | None = None,
    prompt_length: int | None = None,
    decode_length: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    measure: Callable[..., Mapping[str, Any]] | None = None,
) -> tuple[Side, Side]:
    """Both with a new benchmark. Which one begins changes from round to round, so that a machine
    that becomes slower puts neither at a disadvantage.

    Args:
        rounds: of a turn of each; a turn is one repetition after a warm-up.
        progress: called with (turns done, all turns).
        measure: measures one bundle once; None is ``one_turn``.

    Raises:
        BundleError: one is no bundle that runs here.
        BundleRuntimeError: a number is out of its range, or the lengths do not fit both contexts.
    """
    for side in (base, new):
        if side.context_length is None:
            raise BundleError(
                "a saved result cannot be measured anew, a bundle can", where=side.path,
                fix="the bundle's folder, or no --measure",
            )  # fmt: skip
    measure = measure or one_turn
    limits = [s.context_length for s in (base, new) if s.context_length and not s.endless]
    # Of both the same lengths, so that they can be compared.
    asked = wanted(prompt_length, decode_length, None, threads)
    (case,), _ = cases(asked, min(limits, default=None))
    turns: dict[str, list[Mapping[str, Any]]] = {"base": [], "new": []}
    sides = {"base": base, "new": new}
    for index in range(rounds):
        order = ("base", "new") if index % 2 == 0 else ("new", "base")
        for place, name in enumerate(order):
            turns[name].append(
                measure(
                    sides[name].path, threads=threads, prompt_length=case.prompt_length,
                    decode_length=case.decode_length,
                )
            )  # fmt: skip
            progress(2 * index + place + 1, 2 * rounds)
    first, second = (
        replace(sides[name], benchmark=merged(turns[name]), rounds=rounds) for name in sides
    )
    return first, second


def one_turn(
    bundle: str, *, threads: int | None, prompt_length: int, decode_length: int
) -> Mapping[str, Any]:
    """Measure a bundle once, in another process.

    Raises:
        BundleError: it cannot be measured.
    """
    given = {"threads": threads, "prompt-length": prompt_length, "decode-length": decode_length}
    options = [
        word for name, value in given.items() if value is not None
        for word in (f"--{name}", str(value))
    ]  # fmt: skip
    command = [sys.executable, "-m", "runtime_py.benchmark", bundle, "--json",
               "--warmup", "1", "--repetitions", "1", *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(
            f"it cannot be measured: {reason_of(done.stderr)}", where=bundle,
            fix="llm-export verify BUNDLE",
        )  # fmt: skip
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise LlmExportError("the benchmark printed no JSON object", where=bundle)
    return found


def merged(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The benchmark of several turns: each spread is over the turns, each single number their
    median."""
    first = turns[0]
    body: dict[str, Any] = {
        key: first[key] for key in ("schema_version", "settings", "machine") if key in first
    }
    body |= dict(_medians(turns, known=(*body, "conditions")))
    body[IN_TURNS] = len(turns)
    busy = [part(turn, "conditions") for turn in turns]
    if all(busy):
        body["conditions"] = {
            "load_average_before": busy[0].get("load_average_before"),
            "other_cpus": statistics.fmean(number(c.get("other_cpus")) or 0.0 for c in busy),
            "disturbed": any(c.get("disturbed") for c in busy),
        }
    return body


def _medians(turns: Sequence[Mapping[str, Any]], known: Sequence[str]) -> Iterator[tuple[str, Any]]:
    spreads = {key for key, _ in MEASURED.values()}
    for key in (key for key in turns[0] if key not in known):
        values = [turn.get(key) for turn in turns]
        if key in spreads:
            yield key, spread([v for value in values if (v := _middle(value)) is not None])
        elif all(isinstance(value, Mapping) for value in values):
            yield key, dict(_medians(values, known=()))  # type: ignore[arg-type]
        elif found := [v for value in values if (v := number(value)) is not None]:
            yield key, statistics.median(found)


def _middle(found: object) -> float | None:
    """Of one turn: its median, or what stands for it."""
    body = found if isinstance(found, Mapping) else {}
    return next((v for k in MAIN if (v := number(body.get(k))) is not None), None)


def spread(samples: list[float]) -> dict[str, Any]:
    """Over turns. Without the percentiles of ``runtime_py.benchmark.spread``: of a few medians they
    are not those of single tokens."""
    return {
        "median": statistics.median(samples), "mean": statistics.fmean(samples),
        "min": min(samples), "max": max(samples),
        "stdev": statistics.stdev(samples) if len(samples) > 1 else 0.0, "samples": samples,
    }  # fmt: skip
