"""Check that kernels for Arm can compute the program, if the recipe requires it."""

from __future__ import annotations

from llm_export.arm.parts import fixes, lacking, own_kernels
from llm_export.checks.fixes import alternatives
from llm_export.config.schema import OptionalCheck
from llm_export.errors import Problem
from llm_export.resolve.recipe import ResolvedRecipe

_KEY = "verify.arm"


def arm_can_be_emulated(resolved: ResolvedRecipe) -> list[Problem]:
    settings = resolved.recipe.verify
    if not settings.enabled or settings.arm is not OptionalCheck.require or own_kernels():
        return []
    if not resolved.capabilities.on_arm:
        names = "+".join(backend.name for backend in resolved.backends)
        what = f"ExecuTorch's libraries for Arm on Linux run no program of {names}"
        return [Problem(what, _KEY, f"{_KEY}=auto")]
    if missing := lacking():
        what = f"Arm kernels cannot be emulated here: no {', no '.join(p.name for p in missing)}"
        fix = alternatives(fixes(missing), f"{_KEY}=auto")
        return [Problem(what, _KEY, fix, environment=True)]
    return []


def arm_note(resolved: ResolvedRecipe) -> str | None:
    """What a run will do; None if it does nothing."""
    settings = resolved.recipe.verify
    asked = settings.enabled and settings.arm is not OptionalCheck.skip
    if not asked or own_kernels() or not resolved.capabilities.on_arm:
        return None
    if missing := lacking():
        return (
            f"Arm kernels: not emulated, no {', no '.join(p.name for p in missing)}; "
            "llm-export doctor says how to get it"
        )
    return f"Arm kernels: emulated, in up to about {settings.arm_seconds:.0f} s"
