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
    fixes = ["runtime.snapshots=auto"]
    if "static_io" in resolved.offered_attention and "static_io" in resolved.model_attention:
        fixes.append("runtime.attention=static_io")
    return [
        Problem(
            f"the program cannot give out its state: {why}",
            "runtime.snapshots",
            alternatives(*fixes),
        )
    ]
