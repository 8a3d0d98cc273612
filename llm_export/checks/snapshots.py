"""Check that a program that must give out its state can."""

from __future__ import annotations

from llm_export.checks.fixes import alternatives
from llm_export.config.schema import SnapshotsKind
from llm_export.errors import Problem
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.resolve.snapshots import obstacle


def snapshots_fit(resolved: ResolvedRecipe) -> list[Problem]:
    if resolved.recipe.runtime.snapshots is not SnapshotsKind.require:
        return []
    why = obstacle(resolved.capabilities, resolved.attention)
    if not why:
        return []
    fixes = ["runtime.snapshots=auto"] + [
        f"runtime.attention={kind}"
        for kind in resolved.offered_attention
        if kind in resolved.model_attention and not obstacle(resolved.capabilities, kind)
    ]
    what = f"the program cannot give out its state: {why}"
    return [Problem(what, "runtime.snapshots", alternatives(*fixes))]
