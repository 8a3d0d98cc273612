"""Run one variant in the process that the launcher chose, and write its report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_export.config.composed import Composed
from llm_export.errors import LlmExportError
from llm_export.files import write_json
from llm_export.plugins.active import activate
from llm_export.sweep.state import DONE, FAILED, RUNNING, WAITING, Failure


@dataclass(frozen=True)
class Jobs:
    """A callable that runs the variant with a given number; a failed variant does not raise.

    Attributes:
        folder: for reports and logs.
        cwd: where relative paths begin.
        apart: in a process of its own, whose output must not meet that of others.
        cache: whether stages that others have finished are reused.
        limits: whether a variant stops where memory or disk will not do.
        config_dir: the folder of ``--config-dir``, whose plugin the variants may call.
    """

    variants: tuple[Composed | None, ...]
    folder: Path
    cwd: Path
    apart: bool
    quiet: bool
    cache: bool = True
    limits: bool = True
    config_dir: str | None = None

    def __call__(self, number: int) -> None:
        composed = self.variants[number]
        assert composed is not None  # a refused variant is never launched
        report = self.folder / f"{composed.recipe.name}.json"
        write_json(report, {"state": RUNNING, "error": None})
        try:
            if self.apart:
                self._apart(composed)
            else:
                _run(composed, self.quiet, self.cache, self.limits)
        except Exception as error:
            if not isinstance(error, LlmExportError) and os.environ.get("LLM_EXPORT_TRACEBACK"):
                raise
            write_json(report, {"state": FAILED, "error": asdict(Failure.of(error))})
        except BaseException:
            write_json(report, {"state": WAITING, "error": None})
            raise
        else:
            write_json(report, {"state": DONE, "error": None})

    def _apart(self, composed: Composed) -> None:
        from llm_export.pipeline.console import output_to

        os.chdir(self.cwd)
        activate(self.config_dir)  # nobody else has in this process
        with output_to(self.folder / f"{composed.recipe.name}.log"):
            _run(composed, True, self.cache, self.limits)


def _run(composed: Composed, quiet: bool, cache: bool, limits: bool) -> None:
    from llm_export.resolve.recipe import resolve
    from llm_export.runner.run import Run

    assert composed.recipe.out is not None
    Run(
        resolve(composed.recipe),
        composed.choices,
        composed.overrides,
        Path(composed.recipe.out),
        quiet=quiet,
        cache=cache,
        limits=limits,
    ).finish()


def read_report(path: Path) -> tuple[str, Failure | None] | None:
    """(state, error) as a job left it; None if there is none."""
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    return body["state"], Failure(**body["error"]) if body["error"] else None
