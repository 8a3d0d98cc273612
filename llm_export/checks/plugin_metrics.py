"""Every comparison computes all metrics, so one of a plugin that fails is told before a run."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.config.schema import Recipe
from llm_export.errors import Problem
from llm_export.metrics import METRICS


def metric_findings(recipe: Recipe) -> Iterator[Problem]:
    """Metrics of plugins that cannot be used, if the recipe compares anything."""
    if not (recipe.verify.enabled or recipe.evaluate.enabled):
        return
    for name in METRICS:
        fault = METRICS.fault(name)
        if fault is not None:
            yield Problem(fault.what, fault.where or "metrics", fault.fix or "", environment=True)
