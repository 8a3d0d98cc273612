"""The stages of a run, in execution order, with the recipe keys that each reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from llm_export.pipeline.stage import Stage
from llm_export.resolve.recipe import ResolvedRecipe

_SERIALIZERS = "llm_export.stage_cache.serializers"
_MODELS = "llm_export.stage_cache.model_serializers"
_PARTS = ("checkpoint", "model", "quant", "backend", "backend.name", "@runtime")


STAGES = (
    Stage(
        "load",
        "llm_export.stages.load:load",
        reads=("checkpoint", "@checkpoint_files", "model", "runtime.context_length",
               "runtime.logits"),
        checks=("verify",),
        not_kept="the checkpoint is read as quickly as a copy of the model would be",
    ),
    Stage(
        "transform",
        "llm_export.stages.transform:transform",
        reads=(*_PARTS, "@calibration"),
        not_kept="done again with the next quantize",
    ),
    Stage(
        "train",
        "llm_export.stages.train:train",
        reads=("@training",),
        not_kept="the cache of training goes on where it stopped",
        enabled="train.enabled",
    ),
    Stage(
        "quantize",
        "llm_export.stages.quantize:quantize",
        reads=(*_PARTS, "@calibration"),
        codec=f"{_MODELS}:TRANSFORMED",
    ),
    Stage(
        "export",
        "llm_export.stages.export:export",
        reads=(*_PARTS, "@calibration"),
        codec=f"{_MODELS}:EXPORTED",
    ),
    Stage(
        "lower",
        "llm_export.stages.lower:lower",
        reads=(*_PARTS, "@edge_compared"),
        codec=f"{_SERIALIZERS}:LOWERED",
    ),
    Stage(
        "package",
        "llm_export.stages.package:package",
        reads=(*_PARTS, "model.name", "@cache_times"),
        codec=f"{_SERIALIZERS}:PACKAGED",
    ),
    Stage(
        "verify",
        "llm_export.stages.verify:verify",
        reads=(*_PARTS, "verify", "@verify_text", "@training", "@runs_here",
               "@machine", "@metrics", "@arm"),
        codec=f"{_SERIALIZERS}:VERIFIED",
    ),
    Stage(
        "benchmark",
        "llm_export.stages.benchmark:benchmark",
        reads=("benchmark", "@runs_here", "@machine"),
        codec=f"{_SERIALIZERS}:BENCHMARKED",
        fallback="llm_export.stages.benchmark:not_measured",
    ),
    Stage(
        "evaluate",
        "llm_export.stages.evaluate:evaluate",
        reads=("evaluate", "@evaluate_files", "@runs_here", "@machine", "@metrics"),
        codec=f"{_SERIALIZERS}:BENCHMARKED",
        fallback="llm_export.stages.evaluate:not_evaluated",
        enabled="evaluate.enabled",
    ),
    Stage(
        "report",
        "llm_export.stages.report:report",
        reads=("@whole_recipe", "@runs_here", "@machine", "@consumers", "@engines"),
        codec=f"{_SERIALIZERS}:REPORTED",
        fallback="llm_export.stages.report:without_report",
    ),
)  # fmt: skip

_PROGRAM = "a task's program is exported in seconds to a few minutes"
PROGRAM_STAGES = (
    *(
        Stage(name, f"llm_export.stages.programs.{name}:{name}", reads=("@whole_recipe",),
              not_kept=_PROGRAM)
        for name in ("load", "quantize", "export", "lower", "package", "verify")
    ),
    Stage(
        "benchmark",
        "llm_export.stages.programs.benchmark:benchmark",
        reads=("@whole_recipe",),
        not_kept=_PROGRAM,
        fallback="llm_export.stages.programs.benchmark:not_measured",
    ),
    Stage(
        "report",
        "llm_export.stages.programs.report:report",
        reads=("@whole_recipe",),
        not_kept=_PROGRAM,
        fallback="llm_export.stages.programs.report:without_report",
    ),
)  # fmt: skip
"""Those of a task whose model is no decoder."""


def stages_of(resolved: ResolvedRecipe) -> tuple[Stage, ...]:
    """The stages that a recipe goes through."""
    return STAGES if resolved.task.decodes else PROGRAM_STAGES


def check_chain(functions: list[Callable[..., Any]], first: type) -> None:
    """Check that each stage takes the type that the previous one returns.

    Raises:
        TypeError: the types do not match, which is a bug in llm_export.
    """
    given: Any = first
    for function in functions:
        hints = get_type_hints(function)
        wanted = hints.get("artifact")
        if wanted is not given:
            raise TypeError(f"{function.__module__} takes {wanted}, but is given {given}")
        given = hints["return"]
