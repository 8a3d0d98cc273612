"""Measure artifacts of several runtimes beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llm_export.api.bundles import runtime_errors


def compare_speed(
    artifacts: Sequence[str],
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
    progress: Callable[[str], object] = lambda what: None,
    finished: Callable[[str], object] = lambda what: None,
) -> dict[str, Any]:
    """Measure bundles and artifacts of other runtimes in turns, each turn in a process of its own,
    with the ratios of their speeds to those of the first, and confidence intervals.

    Args:
        artifacts: each a path, or [[LABEL:]RUNTIME=]PATH[@PYTHON] with the interpreter of the
            environment that has the runtime's package. Without a runtime the path tells it.
        threads: one number or several; None: the processors that this process may use.
        rounds: turns of each artifact.
        repetitions: of each combination in a turn; their median counts.
        max_seconds: begin no further round after this time.
        keep: a file to which each finished turn is added. Turns of the same artifacts, lengths and
            threads that it has are not measured again, so that an interrupted call can be repeated.
        progress, finished: called with a line when a turn begins, and when it has ended.

    Returns:
        an object that follows ``llm_export/runtimes/speeds.schema.json``. An artifact whose runtime
        is missing, or which fails, says so in ``skipped``.

    Raises:
        RecipeError: an artifact is none, there is no such runtime, or ``keep`` is another file.
        BundleError: an argument is wrong, or the lengths do not fit a bundle's context.
        LlmExportError: none of them runs.
    """
    with runtime_errors():
        from llm_export.runtimes.artifact import artifacts as read
        from llm_export.runtimes.speeds import measure_speeds

        return measure_speeds(
            read(artifacts),
            prompt_length=prompt_length,
            decode_length=decode_length,
            depth=depth,
            threads=threads,
            rounds=rounds,
            warmup=warmup,
            repetitions=repetitions,
            max_seconds=max_seconds,
            keep=keep,
            progress=progress,
            finished=finished,
        )
