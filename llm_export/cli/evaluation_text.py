"""An evaluation on a terminal."""

from __future__ import annotations

from llm_export.cli.verdict_text import print_rows
from llm_export.evaluation.results import Evaluation
from llm_export.report.evaluation import rows


def print_evaluation(found: Evaluation | None) -> None:
    """A line for each task, and for what could not be evaluated; nothing for None."""
    if found is not None:
        print()
        print_rows(rows(found) + [(f"not {what}", why) for what, why in found.missing.items()])
